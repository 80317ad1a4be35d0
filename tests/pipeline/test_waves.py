"""Step by step: waves, what is noted of failures, nodes that are bad, workers that are silent."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from file_cluster import Ending, FileCluster, well
from made_plans import executions, planned, results, write_corpus
from refining import Refining

from hpc_runner.config import RunConfig
from hpc_runner.errors import SchedulerError
from hpc_runner.pipeline.coordinator import Phase, State, step
from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.plan import plan
from hpc_runner.pipeline.scheduler import Cause
from hpc_runner.pipeline.status import Watch
from hpc_runner.pipeline.waves import Memory
from hpc_runner.results.ledger import read_ledger
from hpc_runner.results.summary import summarise
from hpc_runner.rundir import RunDir

AT_ONCE = Patience(backoff_s=0.0)


def finish(
    run: RunDir, cluster: FileCluster, opener: Refining | None = None, memory: Memory | None = None
) -> list[State]:
    """Step to the end, forgetting everything between two steps unless ``memory`` is given."""
    states = []
    for _ in range(500):
        state = step(run, cluster, memory or Memory(AT_ONCE), opener)
        states.append(state)
        if state.phase is Phase.DONE:
            return states
        if state.phase is Phase.RUNNING:
            cluster.wait(0)
    pytest.fail("it doesn't end")


def said(states: list[State]) -> str:
    return "\n".join(line for state in states for line in state.news)


@pytest.fixture
def mixed(tmp_path: Path) -> RunDir:
    """Ten accepted, four that get there in one generation, two that need two."""
    words = ["accepted"] * 10 + ["runtime_error"] * 4 + ["wrong_answer"] * 2
    corpus = write_corpus(
        tmp_path / "corpus.jsonl", [(f"t/{n}", f"{word} {n}") for n, word in enumerate(words)]
    )
    run = RunDir(tmp_path / "run")
    values = {"corpus": (str(corpus),), "runtime": "local", "shard_size": 4}
    plan(run, RunConfig.parse(values), progress=lambda _: None)
    return run


def test_one_wave_after_the_other(mixed: RunDir) -> None:
    opener = Refining()
    states = finish(mixed, FileCluster(mixed), opener, Memory(AT_ONCE))
    assert [(s.phase.value, s.wave) for s in states if s.phase is not Phase.RUNNING] == [
        ("voted", 0), ("opened", 1), ("voted", 1), ("opened", 2), ("voted", 2), ("done", 2),
    ]  # fmt: skip
    assert mixed.waves() == [0, 1, 2]
    assert opener.early_calls[:2] == [(0, 1), (0, 2)]
    votes = pq.read_table(mixed.votes).to_pylist()
    counts = Counter((vote["wave"], vote["generation"], vote["accepted"]) for vote in votes)
    assert counts == {
        (0, 0, True): 10, (0, 0, False): 6, (1, 1, True): 4, (1, 1, False): 2, (2, 2, True): 2,
    }  # fmt: skip
    assert set(executions(mixed).values()) == {1}


def test_what_was_refined_is_counted_apart(mixed: RunDir) -> None:
    finish(mixed, FileCluster(mixed), Refining())
    summary = summarise(mixed)
    assert summary.complete
    assert summary.waves == 3
    assert summary.accepted == 10
    assert summary.accepted_after_refinement == 6
    assert summary.verdicts == {"accepted": 10, "wrong_answer": 2, "runtime_error": 4}
    assert summary.pass_at == {1: 10 / 16}
    assert summary.tasks_solved == 16
    seen = Watch(mixed).look()
    assert (seen.wave, seen.shards, seen.shards_finished) == (2, 8, 8)
    assert seen.executions == seen.done == (16 + 6 + 2) * 3
    assert seen.phase == "done"


def test_a_wave_that_fails_partly_is_refined_partly(mixed: RunDir) -> None:
    finish(mixed, FileCluster(mixed), Refining(waves=2))
    assert summarise(mixed).accepted_after_refinement == 4
    assert mixed.waves() == [0, 1]


def test_a_result_that_is_taken_away_is_made_again_and_voted_on(mixed: RunDir) -> None:
    finish(mixed, FileCluster(mixed), Refining())
    before = summarise(mixed)
    mixed.result(0, 1).unlink()
    states = finish(mixed, FileCluster(mixed))
    assert [s.wave for s in states if s.phase is Phase.VOTED] == [0, 1, 2]
    assert summarise(mixed).verdicts == before.verdicts
    assert max(executions(mixed).values()) == 2


def test_nothing_is_submitted_twice(mixed: RunDir) -> None:
    """However often a coordinator starts anew between two tasks."""
    submitted: Counter[tuple[int, int]] = Counter()
    for _ in range(100):
        cluster = FileCluster(mixed)
        state = step(mixed, cluster, opener=Refining())
        for wave, shards, _ in cluster.submissions:
            submitted.update((wave, shard) for shard in shards)
        if state.phase is Phase.DONE:
            break
        if state.phase is Phase.RUNNING:
            cluster.wait(0)
    assert set(submitted.values()) == {1}
    assert len(submitted) == 8


def test_killers_are_found_on_a_cluster_too(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=40, killers={0, 17, 18, 39}, shard_size=20)
    states = finish(run, FileCluster(run))
    assert set(executions(run).values()) == {1}
    assert summarise(run).accepted == 36
    assert summarise(run).unjudged == 4
    assert said(states).count("is given up") == 4
    assert len(summarise(run).warnings) == 4


def on_nodes(run: RunDir, wave: int, shard: int, before: int) -> Ending:
    """n2 is broken; a task that failed there comes back there as long as it may."""
    node = "n2" if shard % 2 and "n2" not in read_ledger(run, wave).excluded else "n1"
    if node == "n2":
        return Cause.FAILED, "its worker can't be started: the node's disk is full", node
    cause, detail, _ = well(run, wave, shard)
    return cause, detail, node


def test_a_node_on_which_several_fail_gets_no_more_work(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=30)
    cluster = FileCluster(run, on_nodes)
    states = finish(run, cluster)
    assert said(states).count("Node n2 gets no more work") == 1
    assert all(exclude == ("n2",) for _, _, exclude in cluster.submissions[-1:])
    assert summarise(run).accepted == 30
    assert summarise(run).warnings[0].startswith("node n2 got no more work: ")
    assert "looking for the candidate" not in said(states), "the shards are not to blame"


def test_a_shard_that_fails_everywhere_is_not_blamed_on_a_node(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=12, killers={0, 4}, shard_size=3)

    def how(run: RunDir, wave: int, shard: int, before: int) -> Ending:
        cause, detail, _ = well(run, wave, shard)
        return cause, detail, f"n{1 + before % 3}"

    states = finish(run, FileCluster(run, how))
    assert "gets no more work" not in said(states)
    assert summarise(run).accepted == 10


def test_an_excluded_node_stays_so_in_later_waves(mixed: RunDir) -> None:
    cluster = FileCluster(mixed, on_nodes)
    finish(mixed, cluster, Refining())
    if not read_ledger(mixed, 0).excluded:
        pytest.fail("n2 should have been excluded in wave 0")
    assert read_ledger(mixed, 2).excluded == ["n2"]
    assert [exclude for wave, _, exclude in cluster.submissions if wave == 2] == [("n2",)]


@pytest.mark.parametrize("cause", [Cause.STOPPED, Cause.LOST, Cause.TIMEOUT])
def test_what_the_cluster_does_to_a_task_counts_against_nobody(
    tmp_path: Path, cause: Cause
) -> None:
    """Four times, each after some of the work was done."""
    run = planned(tmp_path, candidates=5, shard_size=5)

    def how(run: RunDir, wave: int, shard: int, before: int) -> Ending:
        if before == 4:
            return well(run, wave, shard)
        _beat(run, shard, done=before + 1)
        return cause, "so it goes", "n1"

    states = finish(run, FileCluster(run, how))
    assert said(states) == ""
    assert summarise(run).accepted == 5


def _beat(run: RunDir, shard: int, done: int) -> None:
    from hpc_runner.results.heartbeat import write_heartbeat

    beat = {"wave": 0, "shard": shard, "writer": "w", "pid": 1, "host": "n1", "done": done}
    write_heartbeat(run.heartbeat(0, shard), {**beat, "planned": 15, "verdicts": {}})


def test_running_out_of_time_without_getting_anywhere_counts(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=4, shard_size=4)

    def how(run: RunDir, wave: int, shard: int, before: int) -> Ending:
        if read_ledger(run, wave).shards.get(shard) is None or before < 4:
            return Cause.TIMEOUT, "its time was up", "n1"
        return well(run, wave, shard)

    states = finish(run, FileCluster(run, how))
    assert "Shard 0 failed 3 times, the last time its time was up" in said(states)
    assert summarise(run).accepted == 4


def test_a_mistake_of_the_user_stops_the_run_and_is_not_held_against_the_next(
    tmp_path: Path,
) -> None:
    run = planned(tmp_path)
    mistake: Ending = (Cause.MISTAKE, "its worker ended with exit code 2", "n1")
    with pytest.raises(SchedulerError, match=r"failed once: its worker ended with exit code 2"):
        finish(run, FileCluster(run, lambda *_: mistake))
    finish(run, FileCluster(run))
    assert len(results(run)) == 36


def test_a_cluster_on_which_nothing_works_stops_the_run_soon(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=60)
    broken: Ending = (Cause.FAILED, "its worker ended with exit code 1", "n1")
    cluster = FileCluster(run, lambda *_: broken)
    with pytest.raises(SchedulerError, match="nothing else was judged yet"):
        finish(run, cluster)
    assert len(cluster.attempts()) < 5 * 20
    finish(run, FileCluster(run))  # what was found is forgotten: it was the cluster
    assert summarise(run).accepted == 60


def test_a_cluster_that_breaks_later_stops_the_run_too(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=300, shard_size=50)

    def how(run: RunDir, wave: int, shard: int, _before: int) -> Ending:
        if shard == 0:
            return well(run, wave, shard)
        return Cause.FAILED, "its worker ended with exit code 1", "n1"

    with pytest.raises(SchedulerError, match="60 workers in a row, whatever they run"):
        finish(run, FileCluster(run, how))
    finish(run, FileCluster(run))
    assert summarise(run).accepted == 300


def test_a_task_that_runs_without_a_sign_of_life_is_lost_and_runs_again(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=6)

    def how(run: RunDir, wave: int, shard: int, before: int) -> Ending:
        if shard == 1 and not before:
            return None, "", "n3"  # the queue will say RUNNING for ever
        return well(run, wave, shard)

    cluster = FileCluster(run, how)
    memory = Memory(Patience(silent_s=0.3, first_word_s=0.3))
    states, end = [], time.monotonic() + 20
    while not states or states[-1].phase is not Phase.DONE:
        assert time.monotonic() < end
        states.append(step(run, cluster, memory))
        cluster.wait(0)
    assert len(cluster.abandoned) == 1
    assert "The worker of shard 1 on n3 has said nothing for too long" in said(states)
    assert summarise(run).accepted == 6


def test_heartbeats_that_change_keep_a_task_alive_whatever_their_clock(tmp_path: Path) -> None:
    run = planned(tmp_path, candidates=3)
    cluster = FileCluster(run, lambda *_: (None, "", "n1"))
    memory = Memory(Patience(silent_s=0.4, first_word_s=0.4))
    moments = iter(range(4_000_000_000, 0, -100_000))
    _beat(run, 0, done=0)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        step(run, cluster, memory)
        cluster.wait(0)
        moment = next(moments)
        os.utime(run.heartbeat(0, 0), (moment, moment))
    assert cluster.abandoned == []
