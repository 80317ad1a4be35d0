"""Runs that are stopped, killed and resumed end as if nothing had happened."""

from __future__ import annotations

import os
import platform
import random
import signal
from pathlib import Path

import pytest
from made_plans import Drive, executions, planned, results, until

from hpc_runner.errors import RunError
from hpc_runner.pipeline.coordinator import cancel
from hpc_runner.pipeline.lock import holder
from hpc_runner.pipeline.status import Watch
from hpc_runner.results.ledger import ShardRecord, read_ledger
from hpc_runner.results.summary import summarise
from hpc_runner.rundir import RunDir


def complete(run: RunDir) -> None:
    """36 rows, as an unbroken run has."""
    rows = results(run)
    assert len(rows) == len({row[:2] for row in rows}) == 36
    assert {verdict for _, _, verdict in rows} == {"accepted"}
    assert summarise(run).accepted == 12
    assert run.summary.exists()


def test_a_run_goes_from_the_plan_to_the_summary(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    assert drive(run).wait() == 0
    complete(run)
    assert set(executions(run).values()) == {1}
    assert holder(run) is None


def test_a_complete_run_is_not_run_again(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    assert drive(run).wait() == 0
    before = run.summary.stat().st_mtime_ns
    assert drive(run).wait() == 0
    assert sum(executions(run).values()) == 36
    assert run.summary.stat().st_mtime_ns == before


def test_kill_9_of_everything_at_random_moments_loses_nothing(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    moments = random.Random(4)
    kills = 0
    for _ in range(10):
        seen = sum(executions(run).values())
        more = moments.randint(1, 4)
        process = drive(run, STANDIN_DELAY_S="0.05")
        until(
            lambda p=process, n=seen + more: (
                p.poll() is not None or sum(executions(run).values()) >= n
            )
        )
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
            process.wait()
    assert kills >= 5
    assert drive(run).wait() == 0
    complete(run)
    again = sum(count - 1 for count in executions(run).values())
    assert again <= kills * 2, "more was repeated than what two workers had in flight"


def test_workers_end_with_a_coordinator_that_is_killed(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    process = drive(run, STANDIN_DELAY_S="0.05")
    until(lambda: executions(run))
    process.kill()  # the coordinator alone
    process.wait()
    # The pipes of stdout and stderr are inherited: they end when the last worker has.
    process.communicate(timeout=10)
    count = sum(executions(run).values())
    assert count < 36
    assert drive(run).wait() == 0
    complete(run)
    assert set(executions(run).values()) == {1}


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    process = drive(run, STANDIN_DELAY_S="0.05")
    until(lambda: executions(run))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(timeout=10) == 130
    assert "Stopping" in process.stdout.read()
    assert not run.summary.exists()
    assert Watch(run).look().phase == "stopped"
    assert drive(run).wait() == 0
    complete(run)
    assert set(executions(run).values()) == {1}


def test_a_second_ctrl_c_kills_workers_that_do_not_listen(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    process = drive(run, STANDIN_DELAY_S="0.5", STANDIN_DEAF="1")
    until(lambda: executions(run))
    process.send_signal(signal.SIGINT)
    with pytest.raises(Exception, match="timed out"):
        process.wait(timeout=1.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130
    assert drive(run).wait() == 0
    complete(run)


def test_cancel_stops_a_run_that_can_be_resumed(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    process = drive(run, STANDIN_DELAY_S="0.05")
    until(lambda: executions(run))
    found = cancel(run)
    assert found is not None
    assert found.pid == process.pid
    assert process.wait(timeout=10) == 130
    assert process.stdout.read().split()[-1] == "cancelled"
    assert Watch(run).look().phase == "cancelled"
    assert drive(run).wait() == 0
    complete(run)
    assert not run.cancelled.exists()


def test_a_complete_run_can_not_be_cancelled(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    assert drive(run).wait() == 0
    with pytest.raises(RunError, match="is complete"):
        cancel(run)
    assert not run.cancelled.exists()


def test_two_coordinators_do_not_share_a_run(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    first = drive(run, STANDIN_DELAY_S="0.05")
    until(lambda: executions(run))
    second = drive(run)
    assert second.wait() == 2
    assert f"is being coordinated by process {first.pid} on {platform.node()}" in (
        second.stderr.read()
    )
    assert first.wait() == 0
    complete(run)


def test_a_shard_that_keeps_failing_stops_the_run_and_says_why(
    tmp_path: Path, drive: Drive
) -> None:
    run = planned(tmp_path)
    process = drive(run, STANDIN_FAIL="2:99")
    assert process.wait() == 1
    said = process.stderr.read()
    assert "shard 2 of wave 0 failed 3 times with nothing left to run" in said
    assert "the node's disk is on fire" in said
    assert f"hpc-runner resume {run.root}" in said
    assert drive(run).wait() == 0
    complete(run)
    assert set(executions(run).values()) == {1}


def test_a_shard_that_fails_now_and_then_is_tried_again(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    assert drive(run, STANDIN_FAIL="2:3").wait() == 0
    complete(run)


def test_candidates_that_kill_their_workers_are_found_and_the_rest_is_judged(
    tmp_path: Path, drive: Drive
) -> None:
    run = planned(tmp_path, killers={3, 10}, shard_size=6)
    process = drive(run)
    assert process.wait() == 0
    rows = results(run)
    assert len(rows) == len({row[:2] for row in rows}) == 36
    assert [verdict for _, _, verdict in rows].count("internal_error") == 6
    summary = summarise(run)
    assert (summary.accepted, summary.unjudged, summary.complete) == (10, 2, True)
    assert set(executions(run).values()) == {1}
    said = process.stdout.read()
    assert "Candidate 3 of shard 0 is given up: it ran alone, and its worker died of sig" in said
    assert "Candidate 4 of shard 1 is given up" in said
    # 3 before the search, then halves down to the one: 6 → 3 → 2 → 1 at most.
    assert len(read_ledger(run, 0).killers) == 2
    assert not read_ledger(run, 0).shards


def test_a_search_that_is_interrupted_goes_on(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path, killers={3}, shard_size=12)
    ends = []
    while not ends or ends[-1] != 0:
        process = drive(run, workers=1)
        before = len(read_ledger(run, 0).shards.get(0, ShardRecord()).counted)
        until(
            lambda p=process, n=before: (
                p.poll() is not None
                or len(read_ledger(run, 0).shards.get(0, ShardRecord()).counted) > n
            )
        )
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        ends.append(process.wait())
        assert len(ends) < 20
    assert len(ends) > 3
    assert summarise(run).accepted == 11
    assert set(executions(run).values()) == {1}


def test_a_shard_whose_every_candidate_kills_is_not_blamed_on_them(
    tmp_path: Path, drive: Drive
) -> None:
    run = planned(tmp_path, candidates=3, killers=range(3), shard_size=3)
    process = drive(run)
    assert process.wait() == 1
    assert "nothing else was judged yet" in process.stderr.read()
    assert not read_ledger(run, 0).shards[0].failures
    assert read_ledger(run, 0).shards[0].search is None, "a resumed run begins anew"


def test_what_the_user_must_mend_is_not_tried_again(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    process = drive(run, STANDIN_FAIL="2:99", STANDIN_EXIT="2")
    assert process.wait() == 1
    assert "shard 2 of wave 0 failed once" in process.stderr.read()


def test_status_counts_what_is_done(tmp_path: Path, drive: Drive) -> None:
    run = planned(tmp_path)
    watch = Watch(run)
    before = watch.look()
    assert (before.phase, before.done, before.executions, before.shards) == ("stopped", 0, 36, 4)
    process = drive(run, STANDIN_DELAY_S="0.05")
    until(lambda: watch.look().done >= 10)
    assert watch.look().phase == "running"
    assert str(process.pid) in str(watch.look().coordinator)
    assert process.wait() == 0
    after = watch.look()
    assert (after.phase, after.done, after.shards_finished) == ("done", 36, 4)
    assert after.verdicts == {"accepted": 36}
    assert after.coordinator is None
