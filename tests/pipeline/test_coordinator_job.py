"""One coordinator of a chain: what it queues, when it ends, and what it leaves to the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from made_plans import planned, until, write_corpus

from hpc_runner.config import RunConfig
from hpc_runner.errors import CorpusError, RunError, SchedulerBusy, SchedulerError, StorageError
from hpc_runner.pipeline import coordinator_job
from hpc_runner.pipeline.arrays import read_array
from hpc_runner.pipeline.chain import (
    Chain,
    Record,
    chain_name,
    read_record,
    watch_name,
    write_record,
)
from hpc_runner.pipeline.coordinator_job import MOST_STARTS, begin, cancel, coordinate, resume
from hpc_runner.pipeline.profile_files import write_profile
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.rundir import RunDir

ME = 9001


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm()

    def scheduler(run: RunDir, profile: Profile, *, slurm: FakeSlurm) -> SlurmScheduler:
        return SlurmScheduler(run, profile, slurm=slurm, submit=slurm.submit_array, poll_s=0.0)

    monkeypatch.setattr(coordinator_job, "SlurmScheduler", scheduler)
    monkeypatch.setattr(coordinator_job, "BUSY_S", 0.01)
    return fake


@pytest.fixture
def run(tmp_path: Path, slurm: FakeSlurm) -> RunDir:
    """Planned, four shards, its first coordinator queued."""
    made = planned(tmp_path)
    write_profile(made, Profile())
    write_record(made, Record())
    Chain(made, Profile(), slurm).ensure()
    return made


def coordinators(slurm: FakeSlurm) -> dict[int, str]:
    return {
        job.array: job.state
        for job in slurm.jobs.values()
        if job.index is None and job.name.endswith("coordinator")
    }


def finish(run: RunDir) -> None:
    program = Path(__file__).with_name("standin.py")
    for shard in range(4):
        command = [sys.executable, str(program), str(run.root), "0", str(shard)]
        home = str(Path(__file__).resolve().parents[2])
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": home})


def test_beginning_twice_begins_one_chain(tmp_path: Path, slurm: FakeSlurm) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", [("t", "accepted")])
    config = RunConfig.parse({"corpus": (str(corpus),), "runtime": "local"})
    run = RunDir(tmp_path / "run")
    first = begin(run, config, Profile(), slurm)
    assert begin(run, config, Profile(), slurm) == first == ME
    assert {job.name for job in slurm.jobs.values()} == {chain_name(run)}
    assert len(slurm.jobs) == 2
    slurm.set(str(ME), "RUNNING")
    assert coordinate(run, ME, slurm) == 0
    assert run.info.exists()
    assert [array.shards for array in slurm.arrays] == [(0,)]


def test_with_arrays_in_flight_it_leaves_the_rest_to_its_successor(
    run: RunDir, slurm: FakeSlurm
) -> None:
    slurm.set(str(ME), "RUNNING")
    assert coordinate(run, ME, slurm) == 0
    assert coordinators(slurm) == {9001: "RUNNING", 9002: "PENDING", 9003: "PENDING"}
    assert [job.name for job in slurm.jobs.values()].count(watch_name(run)) == 1
    assert slurm.updates == [("JobId=9002", "Dependency=afterany:100,singleton")]
    # Its node died after all that, and Slurm starts it again.
    assert coordinate(run, ME, slurm) == 0
    assert len(coordinators(slurm)) == 3
    assert len(slurm.arrays) == 1


def test_what_failed_is_submitted_by_the_successor(run: RunDir, slurm: FakeSlurm) -> None:
    coordinate(run, ME, slurm)
    slurm.set(str(ME), "COMPLETED")
    for index in range(4):
        slurm.set(f"100_{index}", "FAILED", exit_status=1)
    assert coordinate(run, 9002, slurm) == 0
    assert [array.shards for array in slurm.arrays] == [(0, 1, 2, 3), (0, 1, 2, 3)]
    assert slurm.updates[-1] == ("JobId=9003", "Dependency=afterany:200,singleton")


def test_at_the_end_of_the_run_the_chain_ends(run: RunDir, slurm: FakeSlurm) -> None:
    coordinate(run, ME, slurm)
    finish(run)
    slurm.set(str(ME), "COMPLETED")
    slurm.set("9002", "RUNNING")
    for index in range(4):
        slurm.set(f"100_{index}", "COMPLETED")
    assert coordinate(run, 9002, slurm) == 0
    assert run.summary.exists()
    assert set(coordinators(slurm).values()) == {"COMPLETED", "RUNNING", "CANCELLED"}
    assert coordinate(run, 9003, slurm) == 0
    assert read_array(run, 0, 0).closed


def test_what_would_only_be_repeated_ends_the_chain(tmp_path: Path, slurm: FakeSlurm) -> None:
    config = RunConfig.parse({"corpus": (str(tmp_path / "nowhere"),), "runtime": "local"})
    run = RunDir(tmp_path / "run")
    begin(run, config, Profile(), slurm)
    with pytest.raises(CorpusError, match="nowhere"):
        coordinate(run, ME, slurm)
    record = read_record(run)
    assert record is not None and "nowhere" in (record.stopped or "")
    assert set(coordinators(slurm).values()) == {"PENDING", "CANCELLED"}  # the first is ours


@pytest.mark.parametrize("error", [StorageError("disk full"), RunError("held"), KeyError("bug")])
def test_what_may_work_later_is_tried_later(
    run: RunDir, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(coordinator_job, "step", fails)
    with pytest.raises(type(error)):
        coordinate(run, ME, slurm)
    assert slurm.updates == [("JobId=9002", "StartTime=now+60")]
    assert "CANCELLED" not in coordinators(slurm).values()


def test_a_chain_that_gets_nowhere_ends(
    run: RunDir, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(coordinator_job, "step", fails)
    for _ in range(MOST_STARTS):
        with pytest.raises(StorageError):
            coordinate(run, ME, slurm)
    with pytest.raises(SchedulerError, match="no further"):
        coordinate(run, ME, slurm)
    resume(run, slurm)
    with pytest.raises(StorageError):  # it is tried again
        coordinate(run, ME, slurm)


def test_a_silent_slurm_is_waited_for(run: RunDir, slurm: FakeSlurm) -> None:
    def fails(*_: object, **__: object) -> str:
        calls.append(1)
        if len(calls) > 3:
            del slurm.run  # type: ignore[method-assign]
        raise SchedulerBusy("no answer")

    calls: list[int] = []
    slurm.run = fails  # type: ignore[method-assign]
    assert coordinate(run, ME, slurm) == 0
    assert len(calls) == 4


def test_told_to_stop_it_leaves_everything_as_it_is(
    run: RunDir, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_step = coordinator_job.step

    def told(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGUSR2)
        return true_step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(coordinator_job, "step", told)
    monkeypatch.setattr(coordinator_job, "_only_waiting", lambda *_: [])
    handler = signal.getsignal(signal.SIGUSR2)
    assert coordinate(run, ME, slurm, tick_s=60) == 0
    assert signal.getsignal(signal.SIGUSR2) is handler
    assert slurm.cancelled == slurm.updates == []
    until(lambda: len(slurm.arrays) == 1)


def test_cancelled_runs_have_no_jobs(run: RunDir, slurm: FakeSlurm) -> None:
    coordinate(run, ME, slurm)
    cancel(run, slurm)
    assert set(coordinators(slurm).values()) == {"CANCELLED"}
    assert {slurm.jobs[f"100_{index}"].state for index in range(4)} == {"CANCELLED"}
    found, new = resume(run, slurm)
    assert new and found == max(coordinators(slurm)) - 1
    assert not run.cancelled.exists()


def test_a_run_of_one_machine_has_no_chain(tmp_path: Path, slurm: FakeSlurm) -> None:
    made = planned(tmp_path)
    with pytest.raises(RunError, match="no chain"):
        resume(made, slurm)
    with pytest.raises(RunError, match="never on a cluster"):
        cancel(made, slurm)
