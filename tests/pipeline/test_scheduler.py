"""The local scheduler: never more workers than allowed, and what they get to see."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_runner.pipeline.local_scheduler import LocalScheduler, worker_command
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause, worker_environment
from hpc_runner.rundir import RunDir

COUNTING = """
import os, sys, time
from pathlib import Path
root, result = Path(sys.argv[1]), Path(sys.argv[2])
mine = root / f"alive-{os.getpid()}"
mine.touch()
time.sleep(0.2)
with (root / "counts").open("a") as file:
    print(len(list(root.glob("alive-*"))), file=file)
mine.unlink()
result.parent.mkdir(parents=True, exist_ok=True)
result.touch()
"""

# What providers of models take their keys from.
PROVIDERS = (
    "OPENROUTER_API_KEY", "ANTHROPIC_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS",
    "VERTEXAI_CREDENTIALS",
)  # fmt: skip


def program(code: str) -> Callable[[RunDir, int, int], list[str]]:
    def command(run: RunDir, wave: int, shard: int) -> list[str]:
        return [sys.executable, "-S", "-c", code, str(run.root), str(run.result(wave, shard))]

    return command


def finish(scheduler: LocalScheduler) -> list[Attempt]:
    end = time.monotonic() + 20
    while {attempt.state for attempt in scheduler.attempts()} != {AttemptState.ENDED}:
        assert time.monotonic() < end
        scheduler.wait(1.0)
    return scheduler.attempts()


def test_no_more_workers_than_allowed(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    scheduler = LocalScheduler(2, command=program(COUNTING))
    scheduler.submit(run, 0, range(6))
    states = [attempt.state for attempt in scheduler.attempts()]
    assert states.count(AttemptState.RUNNING) == 2
    assert states.count(AttemptState.QUEUED) == 4
    scheduler.submit(run, 0, range(6))  # nothing is submitted twice
    attempts = finish(scheduler)
    assert [attempt.cause for attempt in attempts] == [Cause.DONE] * 6
    assert {attempt.node for attempt in attempts} == {platform.node()}
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) == 6
    assert max(counts) <= 2


def test_a_shard_can_be_submitted_again_and_every_attempt_has_its_name(tmp_path: Path) -> None:
    first, second = (LocalScheduler(1, command=program("")) for _ in range(2))
    names = set()
    for scheduler in (first, second):
        for _ in range(2):
            scheduler.submit(RunDir(tmp_path), 0, [3])
            names |= {attempt.id for attempt in finish(scheduler)}
    assert len(names) == 4


@pytest.mark.parametrize(
    ("code", "cause", "detail"),
    [
        ("", Cause.DONE, "ended well"),
        ("raise SystemExit(1)", Cause.FAILED, "exit code 1"),
        ("raise SystemExit(2)", Cause.MISTAKE, "exit code 2"),
        ("raise SystemExit(3)", Cause.STOPPED, "stopped by someone else"),
        ("import os; os.kill(os.getpid(), 9)", Cause.FAILED, "died of signal 9"),
    ],
)
def test_how_a_worker_ended_is_said(tmp_path: Path, code: str, cause: Cause, detail: str) -> None:
    scheduler = LocalScheduler(1, command=program(code))
    scheduler.submit(RunDir(tmp_path), 0, [0])
    (attempt,) = finish(scheduler)
    assert attempt.cause is cause
    assert detail in attempt.detail


def test_a_worker_that_can_not_be_started_has_failed(tmp_path: Path) -> None:
    scheduler = LocalScheduler(1, command=lambda *_: ["/no/such/program"])
    scheduler.submit(RunDir(tmp_path), 0, [0, 1])
    attempts = finish(scheduler)
    assert {attempt.cause for attempt in attempts} == {Cause.FAILED}
    assert "can't be started" in attempts[1].detail


def test_what_is_abandoned_is_lost_and_its_shard_can_run_again(tmp_path: Path) -> None:
    scheduler = LocalScheduler(1, command=program("import time; time.sleep(60)"))
    scheduler.submit(RunDir(tmp_path), 0, [0, 1])
    hung, waiting = scheduler.attempts()
    scheduler.abandon([hung.id, "unknown"])
    assert [attempt.cause for attempt in scheduler.attempts()] == [Cause.LOST, None]
    scheduler.submit(RunDir(tmp_path), 0, [0])
    assert [attempt.state.value for attempt in scheduler.attempts()] == [
        "ended",
        "running",
        "queued",
    ]
    scheduler.abandon([waiting.id])
    assert [attempt.state.value for attempt in scheduler.attempts()] == [
        "ended",
        "ended",
        "running",
    ]
    scheduler.cancel(kill=True)
    while scheduler.running:
        scheduler.wait(1.0)
    assert scheduler.attempts()[0].cause is Cause.LOST


def test_waiting_ends_when_a_worker_does(tmp_path: Path) -> None:
    scheduler = LocalScheduler(1, command=program(COUNTING))
    scheduler.submit(RunDir(tmp_path), 0, [0])
    began = time.monotonic()
    scheduler.wait(60)
    assert time.monotonic() - began < 20
    assert scheduler.running == 0


def test_after_cancel_nothing_starts(tmp_path: Path) -> None:
    scheduler = LocalScheduler(1, command=program("import time; time.sleep(60)"))
    scheduler.submit(RunDir(tmp_path), 0, [0, 1])
    scheduler.cancel()
    while scheduler.running:
        scheduler.wait(1.0)
    assert [(attempt.shard, attempt.cause) for attempt in scheduler.attempts()] == [
        (0, Cause.FAILED)
    ]


def test_a_worker_sees_no_secrets() -> None:
    given = {"PATH": "/bin", "ANTHROPIC_API_KEY": "s", "HF_TOKEN": "s", "db_password": "s"}
    given |= dict.fromkeys(PROVIDERS, "x")
    assert worker_environment(given).keys() - {"PYTHONPATH"} == {"PATH"}


def test_a_worker_is_the_module_of_this_package(tmp_path: Path) -> None:
    command = worker_command(RunDir(tmp_path), 0, 7)
    assert command[:4] == [sys.executable, "-P", "-m", "hpc_runner.sandbox.worker"]
    assert command[4:7] == [str(tmp_path), "0", "7"]
