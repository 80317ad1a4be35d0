"""The local scheduler: never more workers than allowed, and what they get to see."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_runner.errors import SchedulerError
from hpc_runner.pipeline.scheduler import (
    LocalScheduler,
    ShardState,
    worker_command,
    worker_environment,
)
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


def program(code: str) -> Callable[[RunDir, int, int], list[str]]:
    def command(run: RunDir, wave: int, shard: int) -> list[str]:
        return [sys.executable, "-S", "-c", code, str(run.root), str(run.result(wave, shard))]

    return command


def finish(scheduler: LocalScheduler) -> None:
    end = time.monotonic() + 20
    while set(scheduler.states().values()) != {ShardState.ENDED}:
        assert time.monotonic() < end
        scheduler.wait(1.0)


def test_no_more_workers_than_allowed(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    scheduler = LocalScheduler(2, command=program(COUNTING))
    scheduler.submit(run, 0, range(6))
    states = list(scheduler.states().values())
    assert states.count(ShardState.RUNNING) == 2
    assert states.count(ShardState.QUEUED) == 4
    scheduler.submit(run, 0, range(6))  # nothing is submitted twice
    finish(scheduler)
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) == 6
    assert max(counts) <= 2


def test_a_worker_that_ends_well_without_a_result_has_failed(tmp_path: Path) -> None:
    scheduler = LocalScheduler(1, command=program("print('hm')"), retries=1, backoff_s=0.01)
    scheduler.submit(RunDir(tmp_path), 0, [3])
    with pytest.raises(SchedulerError, match=r"shard 3 .* left no result file(.|\n)*    hm"):
        finish(scheduler)


def test_a_worker_that_can_not_be_started_has_failed(tmp_path: Path) -> None:
    scheduler = LocalScheduler(1, command=lambda *_: ["/no/such/program"], retries=0)
    scheduler.submit(RunDir(tmp_path), 0, [0])
    with pytest.raises(SchedulerError, match="can't be started"):
        finish(scheduler)


def test_a_worker_that_is_killed_is_said_to_be(tmp_path: Path) -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    scheduler = LocalScheduler(1, command=program(code), retries=0)
    scheduler.submit(RunDir(tmp_path), 0, [0])
    with pytest.raises(SchedulerError, match="died of signal 9"):
        finish(scheduler)


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
    assert scheduler.states() == {(0, 0): ShardState.ENDED}


def test_a_worker_sees_no_secrets() -> None:
    given = {"PATH": "/bin", "ANTHROPIC_API_KEY": "s", "HF_TOKEN": "s", "db_password": "s"}
    assert worker_environment(given).keys() - {"PYTHONPATH"} == {"PATH"}


def test_a_worker_is_the_module_of_this_package(tmp_path: Path) -> None:
    command = worker_command(RunDir(tmp_path), 0, 7)
    assert command[:4] == [sys.executable, "-P", "-m", "hpc_runner.sandbox.worker"]
    assert command[4:7] == [str(tmp_path), "0", "7"]
