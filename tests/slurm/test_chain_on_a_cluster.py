"""Runs that are nothing but Slurm jobs: coordinators, arrays, and what becomes of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clusters import Cluster

import hpc_runner
from hpc_runner.config import RunConfig
from hpc_runner.errors import RunError
from hpc_runner.pipeline.arrays import job_prefix
from hpc_runner.pipeline.chain import Chain, chain_name, read_record, watch_name
from hpc_runner.pipeline.coordinator_job import begin, cancel, resume
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

EXAMPLE = Path(hpc_runner.__file__).parent / "examples" / "corpus.jsonl"


def submitted(tmp_path: Path, corpus: Path, **options: object) -> RunDir:
    run = RunDir(tmp_path / "run")
    values = {"corpus": (str(corpus),), "runtime": "local", "slots": 2, "shard_size": 9}
    told = {"time": 10, "cpus_per_task": 2, "coordinator": {"memory": "1G"}}
    profile = Profile.model_validate(told)
    begin(run, RunConfig.parse({**values, **options}), profile)
    return run


def coordinators(cluster: Cluster, run: RunDir) -> list[str]:
    """State of each coordinator that Slurm has had."""
    jobs = cluster.run("squeue", "-h", "-t", "all", "-n", chain_name(run), "-o", "%i %T")
    return [line.split()[1] for line in sorted(jobs.splitlines())]


def rows(run: RunDir) -> list[tuple[bytes, int]]:
    """(candidate, round) of every result row."""
    found: list[tuple[bytes, int]] = []
    for path in run.results(0).glob("*.parquet"):
        table = pq.read_table(path, columns=["candidate_id", "round"])
        found += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return found


def wait_for_end(cluster: Cluster, run: RunDir) -> None:
    cluster.wait_for(lambda: not cluster.run("squeue", "-h"), timeout=180)
    assert run.summary.exists(), run.coordinator_log.read_text()


def test_a_run_that_is_nothing_but_jobs(here: Cluster, tmp_path: Path) -> None:
    run = submitted(tmp_path, EXAMPLE)
    wait_for_end(here, run)
    assert len(run.finished_shards(0)) == 4
    assert len(run.arrays()) == 1
    assert sorted(coordinators(here, run)) == ["CANCELLED"] * 2 + ["COMPLETED"] * 2
    record = read_record(run)
    assert record is not None and record.stopped is None


def running(run: RunDir) -> list[str]:
    jobs = Chain(run, Profile(), Slurm()).jobs()
    return [job.id for job in jobs if job.state == "RUNNING"]


def test_a_coordinator_that_is_killed_anywhere_is_followed(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = submitted(tmp_path, slow_corpus(8, 0.5), shard_size=4)
    for moment in (run.coordinator_log.exists, run.info.exists, run.array(0, 0).exists):
        here.wait_for(moment)
        here.wait_for(lambda: running(run))
        Slurm().cancel(running(run), signal="KILL")
    wait_for_end(here, run)
    assert len(rows(run)) == len(set(rows(run))) == 24
    prefix = job_prefix(read_info(run).run_id)
    jobs = here.run("squeue", "-hr", "-t", "all", "-o", "%j").split()
    assert len([name for name in jobs if name.startswith(prefix)]) == 2  # none submitted twice


def test_a_broken_chain_is_mended_by_the_last_array_tasks(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = submitted(tmp_path, slow_corpus(8, 0.5), shard_size=4)
    here.wait_for(lambda: run.heartbeat(0, 0).exists())
    here.wait_for(lambda: coordinators(here, run)[:1] == ["COMPLETED"])
    here.run("scancel", "--name", chain_name(run))
    wait_for_end(here, run)


def test_what_would_only_be_repeated_ends_the_chain(here: Cluster, tmp_path: Path) -> None:
    run = submitted(tmp_path, tmp_path / "nowhere.jsonl")
    here.wait_for(lambda: not here.run("squeue", "-h"))
    record = read_record(run)
    assert record is not None and "nowhere.jsonl" in (record.stopped or "")
    assert sorted(coordinators(here, run)) == ["CANCELLED", "CANCELLED", "FAILED"]
    assert "nowhere.jsonl" in run.coordinator_log.read_text()


def test_a_worker_that_hangs_is_found_while_no_coordinator_runs(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = submitted(tmp_path, slow_corpus(12, 0.5), shard_size=6)
    here.wait_for(lambda: run.heartbeat(0, 0).exists())
    here.wait_for(lambda: coordinators(here, run)[:1] == ["COMPLETED"])
    worker = json.loads(run.heartbeat(0, 0).read_bytes())["pid"]
    os.kill(worker, signal.SIGSTOP)
    for _ in range(2):
        watch = here.run("squeue", "-h", "-n", watch_name(run), "-o", "%i").strip()
        here.run("scontrol", "update", f"JobId={watch}", "StartTime=now")
        here.wait_for(lambda job=watch: job not in here.run("squeue", "-h", "-o", "%i").split())
    wait_for_end(here, run)
    assert len(rows(run)) == len(set(rows(run))) == 36
    assert "has said nothing since the last look" in run.coordinator_log.read_text()


def test_cancel_and_resume(
    here: Cluster, tmp_path: Path, slow_corpus: Callable[[int, float], Path]
) -> None:
    run = submitted(tmp_path, slow_corpus(12, 0.5), shard_size=6)
    here.wait_for(lambda: run.heartbeat(0, 0).exists())
    job, new = resume(run)
    assert not new
    cancel(run)
    here.wait_for(lambda: not here.run("squeue", "-h"))
    assert not run.summary.exists()
    again, new = resume(run)
    assert new and again > job
    wait_for_end(here, run)
    assert len(rows(run)) == len(set(rows(run))) == 36


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(RunError, match="thesis"):
        submitted(tmp_path, EXAMPLE)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]
