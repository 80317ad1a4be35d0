"""Slurm's commands as they are rendered, and the answers of a real one (22.05) as they are read."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.errors import ConfigError, SchedulerBusy, SchedulerError, SchedulerFull
from hpc_runner.pipeline.job_states import Reading, cause, reading
from hpc_runner.pipeline.scheduler import Cause
from hpc_runner.pipeline.slurm import (
    Job,
    Limits,
    Slurm,
    clean_environment,
    expand,
    parse_limits,
    parse_queue,
    queue_command,
    trouble,
)

ANSWERS = Path(__file__).with_name("slurm_answers")
QUEUE = (ANSWERS / "squeue-22.05.txt").read_text()


def job(state: str, **values: object) -> Job:
    given = {"array": 7, "index": 0, "raw": 7, "name": "x", "restarts": 0, "exit_status": 0}
    return Job(**{**given, "node": None, "reason": "None", "state": state, **values})  # type: ignore[arg-type]


def test_one_call_asks_for_every_task_of_every_job_of_ours() -> None:
    command = queue_command(1000)
    assert command[:5] == ["squeue", "--noheader", "--states=all", "--array", "--user=1000"]
    assert command[5].startswith("--Format=ArrayJobID:20|,ArrayTaskID:20|,JobID:20|,State:20|,")
    assert len(command) == 6


def test_what_squeue_says_is_read() -> None:
    jobs = {job.id: job for job in parse_queue(QUEUE)}
    assert len(jobs) == 13
    assert jobs["30_0"] == Job(
        30, 0, 38, "hpcr-r-w000-a0001", "FAILED", 0, 3, "n1", "NonZeroExitCode"
    )
    assert jobs["32_0"].exit_status == -9
    assert (jobs["29_3"].state, jobs["29_3"].node) == ("PENDING", None)
    assert jobs["35"].index is None
    assert jobs["33_0"].name == "odd | name"
    assert (jobs["40_1"].state, jobs["40_1"].restarts) == ("RUNNING", 1)


def test_jobs_of_other_names_are_left_out_whatever_they_hold() -> None:
    assert {job.array for job in parse_queue(QUEUE, "hpcr-r-w000")} == {29, 30, 31, 32, 34, 40}
    assert parse_queue("") == []


@pytest.mark.parametrize(
    "line",
    [
        "slurm_load_jobs error: Unable to contact slurm controller",
        QUEUE.splitlines()[0].replace("COMPLETED", "completed"),
        QUEUE.splitlines()[0].replace("33 ", "x33 "),
        QUEUE.splitlines()[0].replace("0       |0", "0|0", 1),
        QUEUE.splitlines()[0].replace("None" + " " * 60, "N" * 64),  # cut off?
    ],
)
def test_an_answer_that_is_not_understood_is_no_empty_queue(line: str) -> None:
    with pytest.raises(SchedulerError, match="can't be understood"):
        parse_queue(line)


@pytest.mark.parametrize(
    ("expression", "indices"),
    [
        ("5", [5]),
        ("0-3", [0, 1, 2, 3]),
        ("[2-3%2]", [2, 3]),
        ("1-9:4,20", [1, 5, 9, 20]),
    ],
)
def test_array_expressions_are_expanded(expression: str, indices: list[int]) -> None:
    assert expand(expression) == indices


@pytest.mark.parametrize("expression", ["", "1-", "a", "1,...", "3%x", "1-2-3"])
def test_what_is_no_array_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="no array expression"):
        expand(expression)


@given(st.sets(st.integers(0, 2000), min_size=1))
def test_expanding_undoes_compressing(indices: set[int]) -> None:
    ordered = sorted(indices)
    starts = [i for i in ordered if i - 1 not in indices]
    ends = [i for i in ordered if i + 1 not in indices]
    text = ",".join(f"{a}-{b}" if a != b else str(a) for a, b in zip(starts, ends, strict=True))
    assert expand(f"[{text}]") == ordered


def test_what_the_cluster_allows_is_read() -> None:
    text = (ANSWERS / "config-22.05.txt").read_text()
    assert parse_limits(text) == Limits(array_size=1001, min_job_age_s=600)
    fewer = text.replace("max_array_tasks=100000", "max_array_tasks=64")
    assert parse_limits(fewer).array_size == 64


def test_a_configuration_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(SchedulerError, match="no MaxArraySize"):
        parse_limits("Configuration data as of today\n")
    with pytest.raises(ConfigError, match="no job arrays"):
        parse_limits("MaxArraySize = 0\nMinJobAge = 300 sec\n")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("squeue: error: Unable to contact slurm controller (connect failure)", SchedulerBusy),
        ("Socket timed out on send/recv operation", SchedulerBusy),
        ("sbatch: error: Batch job submission failed: Invalid partition", SchedulerError),
        (
            "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
            "user's size and/or time limits)",
            SchedulerFull,
        ),
        ("sbatch: error: AssocMaxSubmitJobLimit", SchedulerFull),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", SchedulerFull),
        ("Slurm temporarily unable to accept job, sleeping and retrying", SchedulerFull),
    ],
)
def test_errors_say_whether_to_come_again(said: str, kind: type[SchedulerError]) -> None:
    assert type(trouble("sbatch", 1, said)) is kind


@pytest.mark.parametrize(
    ("seen", "meaning"),
    [
        (job("PENDING"), Reading.QUEUED),
        (job("PENDING", restarts=1, reason="BeginTime"), Reading.QUEUED),
        (job("PENDING", reason="JobHeldUser"), Reading.QUEUED),
        (job("PENDING", restarts=5, reason="JobHeldAdmin"), Reading.HELD),
        (job("PENDING", restarts=1, reason="launch_failed_requeued_held"), Reading.HELD),
        (job("RUNNING"), Reading.RUNNING),
        (job("COMPLETING"), Reading.RUNNING),
        (job("NODE_FAIL"), Reading.MAY_RETURN),
        (job("PREEMPTED"), Reading.MAY_RETURN),
        (job("COMPLETED"), Reading.ENDED),
        (job("CANCELLED by 1000"), Reading.ENDED),
    ],
)
def test_states_are_hints(seen: Job, meaning: Reading) -> None:
    assert reading(seen) is meaning


def test_a_state_that_is_not_known_is_an_error() -> None:
    with pytest.raises(SchedulerError, match="not known: DANCING"):
        reading(job("DANCING"))


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (job("COMPLETED"), Cause.DONE),
        (job("FAILED", exit_status=1), Cause.FAILED),
        (job("FAILED", exit_status=-9), Cause.FAILED),
        (job("FAILED", exit_status=2), Cause.MISTAKE),
        (job("FAILED", exit_status=3), Cause.STOPPED),
        (job("FAILED", exit_status=4), Cause.TIMEOUT),
        (job("OUT_OF_MEMORY", exit_status=-125), Cause.FAILED),
        (job("TIMEOUT"), Cause.TIMEOUT),
        (job("CANCELLED"), Cause.STOPPED),
        (job("NODE_FAIL"), Cause.LOST),
    ],
)
def test_why_a_job_ended(seen: Job, why: Cause) -> None:
    assert cause(seen)[0] is why


def test_sbatch_is_started_as_if_outside_of_any_job() -> None:
    environ = {
        "PATH": "/bin", "SLURM_CONF": "/etc/s", "SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "9",
        "SBATCH_ARRAY_INX": "0-9", "SBATCH_ACCOUNT": "mine", "SBATCH_PARTITION": "long",
        "SRUN_CPUS_PER_TASK": "1", "SUBMITIT_EXECUTOR": "slurm",
    }  # fmt: skip
    kept = clean_environment(environ, ["--partition=short"])
    assert kept == {"PATH": "/bin", "SLURM_CONF": "/etc/s", "SBATCH_ACCOUNT": "mine"}


# Commands that are really started


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(where: Path, name: str, code: str) -> None:
    program = where / name
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_command_that_does_not_answer_is_given_up(programs: Path) -> None:
    install(programs, "squeue", "import time; time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(SchedulerBusy, match="squeue gave no answer"):
        Slurm(deadline_s=0.3).queue()
    assert time.monotonic() - began < 20


def test_without_slurm_the_user_is_told(programs: Path) -> None:
    with pytest.raises(ConfigError, match=r"no squeue here"):
        Slurm().queue()


def test_variables_do_not_change_what_is_asked(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    install(programs, "squeue", "import os; print('x' if 'SQUEUE_FORMAT' in os.environ else '')")
    assert Slurm().queue() == []


def test_cancelling_what_has_ended_is_no_error(programs: Path) -> None:
    install(programs, "scancel", "raise SystemExit('scancel: error: Invalid job id 7')")
    Slurm().cancel(["7"])
    install(programs, "scancel", "raise SystemExit('scancel: error: Access denied')")
    with pytest.raises(SchedulerError, match="Access denied"):
        Slurm().cancel(["7"])


def test_many_jobs_are_cancelled_in_few_calls(programs: Path) -> None:
    code = f"import sys; open({str(programs / 'calls')!r}, 'a').write(str(len(sys.argv)) + '\\n')"
    install(programs, "scancel", code)
    Slurm().cancel(str(number) for number in range(1200))
    assert (programs / "calls").read_text().split() == ["501", "501", "201"]


def test_sbatch_answers_with_a_job_id(programs: Path) -> None:
    install(programs, "sbatch", "print('123;cluster')")
    assert Slurm().submit(Path("script"), ["--job-name=x"], os.environ) == 123
    install(programs, "sbatch", "print('Submitted')")
    with pytest.raises(SchedulerError, match="where a job id was expected"):
        Slurm().submit(Path("script"), [], os.environ)
