"""The watcher of job arrays against a Slurm that behaves, in all the ways that Slurm has."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from hypothesis import given
from hypothesis import strategies as st
from made_plans import planned

from hpc_runner.errors import (
    ConfigError,
    SchedulerBusy,
    SchedulerError,
    SchedulerFull,
    StorageError,
)
from hpc_runner.pipeline import array_watch, slurm_scheduler
from hpc_runner.pipeline.arrays import (
    ending_path,
    parameters,
    read_array,
    slurm_log,
    spread_s,
)
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.rundir import RunDir

Start = Callable[[], SlurmScheduler]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return planned(tmp_path_factory.mktemp("plan"), candidates=18)  # six shards


@pytest.fixture
def run(tmp_path: Path, plan: RunDir) -> RunDir:
    """All that a scheduler looks at of a plan."""
    shutil.copy(plan.info, tmp_path)
    return RunDir(tmp_path)


@pytest.fixture
def slurm() -> FakeSlurm:
    return FakeSlurm()


@pytest.fixture
def start(run: RunDir, slurm: FakeSlurm) -> Start:
    """A coordinator's scheduler; call it again for that of its successor."""
    return lambda: SlurmScheduler(
        run, Profile(), slurm=slurm, submit=slurm.submit_array, poll_s=0.0
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass for the scheduler."""
    passed = [0.0]
    true = slurm_scheduler.time.monotonic, slurm_scheduler.time.time
    monkeypatch.setattr(slurm_scheduler.time, "monotonic", lambda: true[0]() + passed[0])
    monkeypatch.setattr(slurm_scheduler.time, "time", lambda: true[1]() + passed[0])

    def pass_(seconds: float) -> None:
        passed[0] += seconds

    return pass_


def finish(run: RunDir, *shards: int) -> None:
    for shard in shards:
        run.results(0).mkdir(parents=True, exist_ok=True)
        run.result(0, shard).touch()


def causes(attempts: list[Attempt]) -> list[Cause | None]:
    return [attempt.cause for attempt in attempts]


def names(scheduler: SlurmScheduler) -> list[str]:
    return [attempt.id for attempt in scheduler.attempts()]


# Submitting


def test_what_is_submitted_is_written_down_first(run: RunDir, slurm: FakeSlurm) -> None:
    seen = []

    def submit(_run: RunDir, array: object) -> int:
        seen.append(json.loads(run.array(0, 0).read_text()))
        return 1200

    scheduler = SlurmScheduler(run, Profile(), slurm=slurm, submit=submit)
    scheduler.submit(run, 0, [4, 2], exclude=["n3"])
    (before,) = seen
    assert before["job_id"] is None
    assert before["shards"] == [4, 2]
    assert before["name"].startswith("hpcr-") and before["name"].endswith("-w000-a0000")
    assert before["parameters"]["additional_parameters"]["exclude"] == "n3"
    assert read_array(run, 0, 0).job_id == 1200


def test_what_is_in_flight_is_not_submitted_again(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1])
    slurm.set("100_0", "RUNNING")
    scheduler.submit(run, 0, [0, 1, 2])
    start().submit(run, 0, [0, 1, 2, 3])
    assert [array.shards for array in slurm.arrays] == [(0, 1), (2,), (3,)]


@given(st.integers(1, 7), st.integers(1, 30))
def test_arrays_are_no_larger_than_the_cluster_allows(plan: RunDir, size: int, shards: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(plan.info, scratch)
        run = RunDir(Path(scratch))
        slurm = FakeSlurm(array_size=size)
        scheduler = SlurmScheduler(run, Profile(), slurm=slurm, submit=slurm.submit_array)
        scheduler.submit(run, 0, range(shards))
        assert [shard for array in slurm.arrays for shard in array.shards] == list(range(shards))
        assert max(len(array.shards) for array in slurm.arrays) <= size


def test_a_refusal_leaves_nothing_behind(run: RunDir, slurm: FakeSlurm, start: Start) -> None:
    slurm.refusals = [SchedulerError("sbatch failed: Invalid partition")]
    scheduler = start()
    with pytest.raises(SchedulerError, match="Invalid partition"):
        scheduler.submit(run, 0, [0])
    assert scheduler.attempts() == start().attempts() == []
    assert not run.array(0, 0).exists()


def test_where_a_user_may_have_few_jobs_arrays_are_smaller(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    slurm.refusals = [SchedulerFull("MaxSubmit")] * 2
    scheduler = start()
    scheduler.submit(run, 0, range(6))
    assert [len(array.shards) for array in slurm.arrays] == [1, 1, 1, 1, 1, 1]
    slurm.set_all("COMPLETED")
    slurm.refusals = [SchedulerFull("MaxSubmit")]
    with pytest.raises(SchedulerError, match="not even one"):
        scheduler.submit(run, 1, [0])


def test_a_full_queue_is_waited_for(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    scheduler.attempts()
    slurm.refusals = [SchedulerFull("MaxSubmit")]
    scheduler.submit(run, 0, [1, 2])
    scheduler.submit(run, 0, [1, 2])
    assert len(slurm.arrays) == 1
    clock(60)
    scheduler.submit(run, 0, [1, 2])
    assert [array.shards for array in slurm.arrays] == [(0,), (1,), (2,)]


# What is not known to have been submitted


def test_an_array_that_nobody_heard_of_is_found_by_its_name(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    slurm.refusals = [SchedulerBusy("sbatch gave no answer in 120 s")]
    scheduler.submit(run, 0, [0, 1])
    slurm.take(read_array(run, 0, 0))  # it got through after all
    scheduler.submit(run, 0, [0, 1])
    assert names(scheduler) == names(start()) == ["100_0", "100_1"]
    clock(10_000)
    assert names(scheduler) == ["100_0", "100_1"]
    assert len(slurm.arrays) == 1
    assert read_array(run, 0, 0).job_id == 100


def test_an_array_that_is_not_in_the_queue_is_submitted_after_a_while(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    slurm.refusals = [SchedulerBusy("no answer")] * 2
    scheduler.submit(run, 0, [0, 1])
    assert [attempt.state for attempt in scheduler.attempts()] == [AttemptState.QUEUED] * 2
    assert slurm.arrays == []
    clock(slurm_scheduler.SETTLE_S + 1)
    scheduler.attempts()
    assert (slurm.arrays, slurm.refusals) == ([], [])
    successor = start()
    clock(slurm_scheduler.SETTLE_S + 1)
    assert names(successor) == ["100_0", "100_1"]
    assert [array.shards for array in slurm.arrays] == [(0, 1)]


def test_an_array_that_slurm_has_twice_is_cancelled_once(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    slurm.take(read_array(run, 0, 0))
    assert names(scheduler) == ["100_0"]
    assert slurm.cancelled == ["200"]


# How attempts end


@pytest.mark.parametrize(
    ("state", "values", "cause", "detail"),
    [
        ("COMPLETED", {}, Cause.DONE, "ended well"),
        ("FAILED", {"exit_status": 1}, Cause.FAILED, "exit code 1"),
        ("FAILED", {"exit_status": -9}, Cause.FAILED, "signal 9"),
        ("FAILED", {"exit_status": 2}, Cause.MISTAKE, "exit code 2"),
        ("FAILED", {"exit_status": 3}, Cause.STOPPED, "stopped"),
        ("FAILED", {"exit_status": 4}, Cause.TIMEOUT, "before it had finished"),
        ("OUT_OF_MEMORY", {"exit_status": 0}, Cause.FAILED, "memory"),
        ("TIMEOUT", {}, Cause.TIMEOUT, "time was up"),
        ("CANCELLED", {}, Cause.STOPPED, "cancelled"),
    ],
)
def test_an_end_has_a_cause_and_a_node(
    run: RunDir,
    slurm: FakeSlurm,
    start: Start,
    state: str,
    values: dict[str, int],
    cause: Cause,
    detail: str,
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [5])
    slurm.set("100_0", "RUNNING")
    assert [attempt.state for attempt in scheduler.attempts()] == [AttemptState.RUNNING]
    slurm.set("100_0", state, **values)
    (attempt,) = scheduler.attempts()
    assert (attempt.id, attempt.shard, attempt.node) == ("100_0", 5, "n1")
    assert (attempt.state, attempt.cause) == (AttemptState.ENDED, cause)
    assert detail in attempt.detail
    slurm.jobs.clear()  # a later coordinator knows it from the disk
    assert start().attempts() == [attempt]


def test_a_task_that_slurm_starts_again_has_not_ended(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    slurm.set("100_0", "RUNNING")
    scheduler.attempts()
    slurm.set("100_0", "NODE_FAIL")
    assert [attempt.state for attempt in scheduler.attempts()] == [AttemptState.QUEUED]
    slurm.set("100_0", "PENDING", restarts=1, reason="BeginTime")
    lost, again = scheduler.attempts()
    assert (lost.id, lost.cause, lost.node) == ("100_0", Cause.LOST, "n1")
    assert (again.id, again.state) == ("100_0.1", AttemptState.QUEUED)
    slurm.set("100_0", "RUNNING", node="n2", restarts=1)
    assert scheduler.attempts()[1].node == "n2"
    scheduler.submit(run, 0, [0])
    assert len(slurm.arrays) == 1


def test_a_failed_node_without_a_requeue_is_a_loss_after_a_while(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    slurm.set("100_0", "NODE_FAIL")
    assert causes(scheduler.attempts()) == [None]
    clock(array_watch.REQUEUE_S + 1)
    assert causes(scheduler.attempts()) == [Cause.LOST]
    assert "100_0" in slurm.cancelled  # so that it doesn't come back after all


def test_a_task_that_is_held_for_ever_is_lost(run: RunDir, slurm: FakeSlurm, start: Start) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1])
    slurm.set("100_0", "PENDING", restarts=5, reason="JobHeldAdmin")
    slurm.set("100_1", "PENDING", reason="JobHeldUser")
    assert causes(scheduler.attempts()) == [Cause.LOST, None]
    assert slurm.cancelled == ["100_0"]


def test_what_has_vanished_is_lost_when_slurm_would_have_forgotten_it(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1, 2, 3])
    slurm.set_all("RUNNING")
    scheduler.attempts()
    slurm.jobs.clear()  # a slurmctld that restarts tells nothing for a moment
    assert causes(scheduler.attempts()) == [None] * 4
    array = read_array(run, 0, 0)
    finish(run, 0)
    for path in (slurm_log(run, array, 1), ending_path(run, array, 2, 0)):
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"code": 3, "node": "n1"}')
    clock(slurm.min_job_age_s + 1)
    expected = [Cause.DONE, Cause.FAILED, Cause.STOPPED, Cause.LOST]
    assert causes(scheduler.attempts()) == expected
    assert causes(start().attempts()) == expected


def test_a_successor_need_not_wait_for_what_was_forgotten_before_it_came(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    start().submit(run, 0, [0])
    slurm.jobs.clear()
    clock(slurm.min_job_age_s + 1)
    assert causes(start().attempts()) == [Cause.LOST]


def test_a_task_that_is_cancelled_while_it_waits_leaves_no_trace_in_slurm(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1])
    scheduler.attempts()
    del slurm.jobs["100_1"]
    assert causes(scheduler.attempts()) == [None, Cause.STOPPED]


def test_a_successor_finds_what_was_cancelled_before_it_came(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    start().submit(run, 0, [0, 1])
    del slurm.jobs["100_1"]
    successor = start()
    assert causes(successor.attempts()) == [None, None]  # it may have been asked too soon
    clock(31)
    assert causes(successor.attempts()) == [None, Cause.STOPPED]


def test_what_is_abandoned_is_lost_and_can_be_submitted_again(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1])
    slurm.set_all("RUNNING")
    scheduler.attempts()
    scheduler.abandon(["100_1", "unknown"])
    assert slurm.cancelled == ["100_1"]
    slurm.set("100_1", "COMPLETING")
    assert causes(scheduler.attempts()) == [None, Cause.LOST]
    scheduler.submit(run, 0, [0, 1])
    assert [array.shards for array in slurm.arrays] == [(0, 1), (1,)]


def test_files_of_an_array_go_when_all_of_it_has_ended(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1])
    run.array_files(0, 0).mkdir(parents=True)
    slurm.set("100_0", "COMPLETED")
    scheduler.attempts()
    assert run.array_files(0, 0).exists()
    slurm.set("100_1", "FAILED", exit_status=1)
    scheduler.attempts()
    assert not run.array_files(0, 0).exists()
    calls = len(slurm.calls)
    assert causes(scheduler.attempts()) == [Cause.DONE, Cause.FAILED]
    assert len(slurm.calls) == calls  # there is nothing left to ask about


def test_slurms_own_words_about_a_death_are_kept(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1])
    log = slurm_log(run, read_array(run, 0, 0), 1)
    log.parent.mkdir(parents=True)
    log.write_text("hello\nslurmstepd: error: execve(): python: No such file\nbye\n")
    slurm.set("100_1", "FAILED", exit_status=127)
    assert "execve(): python: No such file" in scheduler.attempts()[1].detail


# A Slurm that doesn't answer


def test_silence_is_borne_with_for_a_while(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    slurm.set_all("RUNNING")
    before = scheduler.attempts()
    slurm.dead = True
    assert scheduler.attempts() == before
    clock(slurm_scheduler.PATIENCE_S - 1)
    assert scheduler.attempts() == before
    clock(2)
    with pytest.raises(SchedulerError, match=r"Slurm hasn't been of use for 15 minutes.*resume"):
        scheduler.attempts()
    slurm.dead = False
    assert scheduler.attempts() == before


# Cancelling


def test_cancel_ends_what_has_no_result_and_submits_nothing_more(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0, 1, 2])
    slurm.set("100_0", "RUNNING")
    slurm.set("100_1", "RUNNING")
    finish(run, 1)
    scheduler.cancel()
    assert slurm.cancelled == ["100_0", "100_2"]
    scheduler.submit(run, 0, [3])
    assert (len(slurm.arrays), scheduler.running) == (1, 0)


def test_a_whole_array_is_cancelled_by_its_id(run: RunDir, slurm: FakeSlurm, start: Start) -> None:
    scheduler = start()
    scheduler.submit(run, 0, range(6))
    slurm.set("100_0", "COMPLETED")
    finish(run, 0)
    scheduler.cancel()
    assert slurm.cancelled == ["100"]
    assert scheduler.running == 0


def test_after_a_kill_nobody_waits_for_a_slurm_that_is_dead(
    run: RunDir, slurm: FakeSlurm, start: Start, clock: Callable[[float], None]
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    slurm.set_all("RUNNING")
    assert scheduler.running == 1
    slurm.dead = True
    scheduler.cancel()
    scheduler.cancel(kill=True)
    assert scheduler.running == 1
    clock(slurm_scheduler.END_S + 1)
    assert scheduler.running == 0


def test_at_the_end_of_a_run_nothing_is_cancelled(
    run: RunDir, slurm: FakeSlurm, start: Start
) -> None:
    scheduler = start()
    scheduler.submit(run, 0, [0])
    slurm.set("100_0", "COMPLETING")
    finish(run, 0)
    scheduler.cancel()
    assert (scheduler.running, slurm.cancelled) == (0, [])
    assert not run.array_files(0, 0).exists()


# What sbatch is told


def test_the_job_script_is_as_expected(golden: Callable[[str, str], None]) -> None:
    import submitit

    profile = Profile.model_validate(
        {
            "partition": "normal",
            "account": "p1",
            "exclude": ["n7"],
            "time": "00:30:00",
            "memory": "16G",
            "cpus_per_task": 8,
            "array_parallelism": 64,
            "sbatch": ["--exclusive", "--mail-type=END"],
            "srun": ["--mpi=none"],
            "setup": ["module load sarus"],
            "environment": {"NAME": "a $value"},
            "scratch": "/scratch/$USER/`x`",
        }
    )
    folder = Path("/run dir/waves/000/arrays/0003")
    executor = submitit.SlurmExecutor(folder=folder, python="/usr/bin/python3 -P")
    told = parameters(profile, name="hpcr-ID-w000-a0003", folder=folder, tasks=9, exclude=["n2"])
    executor.update_parameters(**told)
    executor.parameters["map_count"] = 9
    golden("array.sbatch", executor._make_submission_file_text(executor._submitit_command_str, ""))


def test_an_array_of_one_is_an_array() -> None:
    told = parameters(Profile(), name="n", folder=Path("/f"), tasks=1)
    assert told["additional_parameters"]["array"] == "0-0"


@pytest.mark.parametrize("name", ["50%", "a\\b", "line\nbreak"])
def test_paths_that_slurm_would_change_are_refused(
    tmp_path: Path, plan: RunDir, slurm: FakeSlurm, name: str
) -> None:
    (tmp_path / name).mkdir()
    shutil.copy(plan.info, tmp_path / name)
    run = RunDir(tmp_path / name)
    scheduler = SlurmScheduler(run, Profile(), slurm=slurm, submit=slurm.submit_array)
    with pytest.raises(ConfigError, match="Slurm takes no path"):
        scheduler.submit(run, 0, [0])


@given(st.integers(1, 20_000), st.integers(1, 2000))
def test_starts_are_spread_where_there_are_many_at_once(tasks: int, parallel: int) -> None:
    waits = [spread_s(index, tasks, parallel) for index in range(0, tasks, max(1, tasks // 50))]
    assert all(0 <= wait < 30 for wait in waits)
    if min(tasks, parallel) <= 32:
        assert set(waits) == {0.0}
    assert spread_s(parallel, tasks, parallel) == 0.0


def test_a_record_that_can_not_be_read_is_damage(run: RunDir, start: Start) -> None:
    start().submit(run, 0, [0])
    array = read_array(run, 0, 0)
    assert array == replace(array, job_id=100)
    run.array(0, 0).write_text("{}")
    with pytest.raises(StorageError, match="can't be read"):
        start()
