"""Array tasks that are dead though Slurm takes them for running, while no coordinator runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from made_plans import planned

from hpc_runner.pipeline import coordinator_job
from hpc_runner.pipeline.chain import Chain, Record, watch_name, write_record
from hpc_runner.pipeline.coordinator_job import cancel, coordinate
from hpc_runner.pipeline.profile_files import write_profile
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.pipeline.watch_job import look
from hpc_runner.rundir import RunDir


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm()

    def scheduler(run: RunDir, profile: Profile, *, slurm: FakeSlurm) -> SlurmScheduler:
        return SlurmScheduler(run, profile, slurm=slurm, submit=slurm.submit_array, poll_s=0.0)

    monkeypatch.setattr(coordinator_job, "SlurmScheduler", scheduler)
    return fake


def begun(root: Path, slurm: FakeSlurm, profile: Profile) -> RunDir:
    """Planned, with four array tasks (100_0 to 100_3) in the queue."""
    run = planned(root)
    write_profile(run, profile)
    write_record(run, Record())
    Chain(run, profile, slurm).ensure()
    slurm.set("9001", "RUNNING")
    assert coordinate(run, 9001, slurm) == 0
    slurm.set("9001", "COMPLETED")
    return run


def watches(run: RunDir, slurm: FakeSlurm) -> list[int]:
    found = (job for job in slurm.jobs.values() if job.name == watch_name(run))
    return [job.array for job in found if job.state in ("PENDING", "RUNNING")]


def beat(run: RunDir, shard: int, at: int) -> None:
    path = run.heartbeat(0, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    os.utime(path, ns=(at, at))


def test_what_says_nothing_between_two_looks_is_cancelled(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    for shard in range(3):
        slurm.set(f"100_{shard}", "RUNNING")
    beat(run, 0, at=5_000_000_000)
    beat(run, 1, at=5_000_000_000)
    (me,) = watches(run, slurm)
    assert look(run, me, slurm) == []
    beat(run, 1, at=6_000_000_000)
    # 0 is as silent as it was, 1 has spoken, 2 never has, 3 waits in the queue.
    assert look(run, me, slurm) == ["100_0", "100_2"]
    states = {shard: slurm.jobs[f"100_{shard}"].state for shard in range(4)}
    assert states == {0: "CANCELLED", 1: "RUNNING", 2: "CANCELLED", 3: "PENDING"}


def test_what_slurm_has_started_again_is_given_its_time(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    slurm.set("100_0", "RUNNING")
    assert look(run, 1, slurm) == []
    slurm.set("100_0", "RUNNING", restarts=1)
    assert look(run, 1, slurm) == []
    slurm.set("100_0", "SUSPENDED", restarts=1)
    assert look(run, 1, slurm) == []


def test_what_slurm_holds_for_good_is_cancelled(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    slurm.set("100_0", "PENDING", restarts=1, reason="launch failed requeued held")
    slurm.set("100_1", "PENDING", reason="JobHeldUser")
    assert look(run, 1, slurm) == ["100_0"]


def test_somebody_watches_as_long_as_there_are_tasks(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    (first,) = watches(run, slurm)
    look(run, first, slurm)
    look(run, first, slurm)  # Slurm has started it again: one successor is enough
    assert len(watches(run, slurm)) == 2
    slurm.set(str(first), "COMPLETED")
    (second,) = watches(run, slurm)
    for shard in range(4):
        slurm.set(f"100_{shard}", "COMPLETED")
    look(run, second, slurm)
    slurm.set(str(second), "COMPLETED")
    assert watches(run, slurm) == []


def test_a_cancelled_run_is_not_watched(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    (me,) = watches(run, slurm)
    cancel(run, slurm)
    assert watches(run, slurm) == []
    assert look(run, me, slurm) == []
    assert watches(run, slurm) == []


def test_a_site_may_do_without(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile.model_validate({"coordinator": {"watch": 0}}))
    assert watches(run, slurm) == []


def test_an_unreadable_memory_is_none(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    slurm.set("100_0", "RUNNING")
    run.watch.write_text("{")
    assert look(run, 1, slurm) == []
    assert look(run, 1, slurm) == ["100_0"]


def test_a_chain_that_somebody_broke_is_mended(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    (me,) = watches(run, slurm)
    slurm.cancel(["9002", "9003"])
    look(run, me, slurm)
    assert len(Chain(run, Profile(), slurm).jobs()) == 2
    assert len(watches(run, slurm)) == 2


def test_a_chain_that_ended_for_a_reason_stays_so(tmp_path: Path, slurm: FakeSlurm) -> None:
    run = begun(tmp_path, slurm, Profile())
    slurm.cancel(["9002", "9003"])
    write_record(run, Record(stopped="no"))
    look(run, 1, slurm)
    assert Chain(run, Profile(), slurm).jobs() == []
