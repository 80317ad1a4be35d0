"""Runs on a real cluster: its arrays, its nodes, its deaths."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clusters import Cluster

import hpc_runner
from hpc_runner.config import RunConfig
from hpc_runner.pipeline.arrays import read_array
from hpc_runner.pipeline.coordinator import Phase, State, run_to_end
from hpc_runner.pipeline.plan import plan
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import AttemptState, Cause
from hpc_runner.pipeline.slurm import Limits, Slurm
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.results.ledger import read_ledger
from hpc_runner.rundir import RunDir

EXAMPLES = Path(hpc_runner.__file__).parent / "examples"
EXPECTED = json.loads((EXAMPLES / "expected.json").read_text())


def planned(tmp_path: Path, corpus: Path, shard_size: int = 6, **options: object) -> RunDir:
    run = RunDir(tmp_path / "run")
    values = {"corpus": (str(corpus),), "runtime": "local", "slots": 2, "shard_size": shard_size}
    plan(run, RunConfig.parse({**values, **options}), progress=lambda _: None)
    return run


def scheduler(run: RunDir, **values: object) -> SlurmScheduler:
    told = {"time": 10, "cpus_per_task": 2, **values.pop("profile", {})}  # type: ignore[dict-item]
    return SlurmScheduler(run, Profile.model_validate(told), **{"poll_s": 0.5, **values})  # type: ignore[arg-type]


def coordinate(run: RunDir, found: SlurmScheduler) -> State:
    return run_to_end(run, found, on_change=lambda _: None, say=lambda _: None)


def verdicts(run: RunDir) -> dict[str, str]:
    """TASK#N → the vote, for the N-th sample of each task."""
    votes = pq.read_table(run.votes, columns=["candidate_id", "verdict"]).to_pylist()
    by_candidate = {vote["candidate_id"]: str(vote["verdict"]) for vote in votes}
    samples = pq.read_table(run.samples).to_pylist()
    return {
        f"{row['task_id']}#{row['sample']}": by_candidate[row["candidate_id"]] for row in samples
    }


def rows(run: RunDir) -> list[tuple[bytes, int]]:
    """(candidate, round) of every result row."""
    found: list[tuple[bytes, int]] = []
    for path in run.results(0).glob("*.parquet"):
        table = pq.read_table(path, columns=["candidate_id", "round"])
        found += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return found


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_on_a_cluster_ends_as_on_one_machine(here: Cluster, tmp_path: Path) -> None:
    run = planned(tmp_path, EXAMPLES / "corpus.jsonl")
    found = scheduler(run)
    assert coordinate(run, found).phase is Phase.DONE
    assert (
        verdicts(run).items()
        >= {name: entry["verdict"] for name, entry in EXPECTED.items() if entry["verdict"]}.items()
    )
    array = read_array(run, 0, 0)
    assert len(array.shards) == len(run.finished_shards(0)) == 6
    assert not run.array_files(0, 0).exists()
    assert {attempt.cause for attempt in found.attempts()} <= {None, Cause.DONE}
    assert {attempt.node for attempt in found.attempts()} <= {None, "n1", "n2", "n3", "n4"}


# Once: the job is there, and nobody hears of it.
DEADLY_SBATCH = """#!/bin/sh
rm "$0"
sbatch "$@"
kill -9 $PPID
"""


def test_an_array_whose_submitter_died_is_adopted_with_all_that_its_tasks_need(
    here: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned(tmp_path, EXAMPLES / "corpus.jsonl", shard_size=12)
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(DEADLY_SBATCH)
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    scheduler(run).submit(run, 0, range(3))
    assert read_array(run, 0, 0).job_id is None
    assert coordinate(run, scheduler(run)).phase is Phase.DONE
    assert list(run.arrays()) == [(0, 0)]
    jobs = here.run("squeue", "-h", "-t", "all", "-n", read_array(run, 0, 0).name, "-o", "%F")
    assert set(jobs.split()) == {str(read_array(run, 0, 0).job_id)}


def test_more_shards_than_an_array_may_have(here: Cluster, tmp_path: Path) -> None:
    class Small(Slurm):
        def limits(self) -> Limits:
            return Limits(array_size=3, min_job_age_s=600)

    run = planned(tmp_path, EXAMPLES / "corpus.jsonl", shard_size=9)
    assert coordinate(run, scheduler(run, slurm=Small())).phase is Phase.DONE
    assert [read_array(run, *key).shards for key in run.arrays()] == [(0, 1, 2), (3,)]


def test_a_node_where_nothing_works_is_left_out(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = planned(tmp_path, slow_corpus(10, 0.5), shard_size=1)
    broken = {"setup": ('[ "$SLURMD_NODENAME" != n2 ] || exit 7',), "cpus_per_task": 8}
    said: list[str] = []
    found = scheduler(run, profile=broken)
    assert run_to_end(run, found, on_change=lambda _: None, say=said.append).phase is Phase.DONE
    assert read_ledger(run, 0).excluded == ["n2"]
    assert any("n2" in line for line in said)
    assert set(verdicts(run).values()) == {"accepted"}
    assert len(rows(run)) == len(set(rows(run))) == 30


def test_a_cancelled_task_runs_again_and_keeps_what_it_had(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = planned(tmp_path, slow_corpus(6, 0.5), shard_size=6)
    found = scheduler(run)
    killer = threading.Thread(target=cancel_when_halfway, args=(here, run))
    killer.start()
    assert coordinate(run, found).phase is Phase.DONE
    killer.join()
    stopped, done = found.attempts()
    assert (stopped.cause, stopped.id[-2:]) == (Cause.STOPPED, "_0")
    assert done.shard == stopped.shard == 0
    assert len(rows(run)) == len(set(rows(run))) == 18


def cancel_when_halfway(cluster: Cluster, run: RunDir) -> None:
    until(lambda: run.parts(0, 0).exists())
    cluster.run("scancel", f"{read_array(run, 0, 0).job_id}_0")


def test_a_preempted_task_goes_on_under_the_same_id(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = planned(tmp_path, slow_corpus(8, 0.5), shard_size=8)
    found = scheduler(
        run, profile={"partition": "lo", "sbatch": ["--nodelist=n4"], "cpus_per_task": 8}
    )
    found.submit(run, 0, [0])
    until(lambda: run.parts(0, 0).exists())
    here.sbatch("-p", "hi", "-w", "n4", "-c", "8", "-o", "/dev/null", "--wrap", "true")
    assert coordinate(run, found).phase is Phase.DONE
    earlier, again = found.attempts()
    assert (earlier.cause, again.id) == (Cause.STOPPED, f"{earlier.id}.1")
    assert len(run.arrays()) == 1
    assert len(rows(run)) == len(set(rows(run))) == 24


def test_ctrl_c_leaves_nothing_in_the_queue(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = planned(tmp_path, slow_corpus(40, 0.5), shard_size=10)
    found = scheduler(run, profile={"array_parallelism": 2})

    def stop(state: State) -> None:
        if state.running == 2 and run.parts(0, 0).exists():
            run.cancelled.touch()

    state = run_to_end(run, found, on_change=stop, say=lambda _: None)
    assert state.phase is Phase.CANCELLED
    here.wait_for(lambda: not here.run("squeue", "-h"))
    states = Counter(attempt.state for attempt in found.attempts())
    assert set(states) == {AttemptState.ENDED}
    parts = list((run.wave(0) / "parts").glob("*/*.parquet"))
    assert parts  # what runs was asked to commit


def test_a_task_near_its_time_limit_commits_and_is_requeued(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = planned(tmp_path, slow_corpus(20, 0.5), shard_size=20)
    found = scheduler(run)
    found.submit(run, 0, [0])
    until(lambda: run.parts(0, 0).exists())
    # What Slurm does then; waiting for it would take a minute.
    here.run("scancel", "--signal=USR2", f"{read_array(run, 0, 0).job_id}_0")
    assert coordinate(run, found).phase is Phase.DONE
    earlier, again = found.attempts()
    assert (earlier.cause, again.id) == (Cause.STOPPED, f"{earlier.id}.1")
    assert list(run.arrays()) == [(0, 0)]
    assert len(rows(run)) == len(set(rows(run))) == 60


def test_where_there_is_accounting_nothing_is_different(
    cluster_with_accounting: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", cluster_with_accounting.environment["SLURM_CONF"])
    run = planned(tmp_path, EXAMPLES / "corpus.jsonl", shard_size=18)
    assert coordinate(run, scheduler(run)).phase is Phase.DONE
    assert len(run.finished_shards(0)) == 2
    assert list(run.arrays()) == [(0, 0)]
