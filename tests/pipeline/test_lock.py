"""One coordinator at a time: between processes, machines, and after any of them died."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpc_runner.errors import RunError
from hpc_runner.pipeline import lock as module
from hpc_runner.pipeline.lock import CoordinatorLock, holder
from hpc_runner.rundir import RunDir

QUICK = {"refresh_s": 0.05, "stale_s": 0.6}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def held_by(run: RunDir, number: int = 1, **who: str | int) -> Path:
    """A lock as another process left it."""
    run.lock.mkdir(exist_ok=True)
    text = json.dumps({"pid": 1, "host": "elsewhere", "started": "1", "space": "pid:[1]", **who})
    path = run.lock_file(number)
    path.write_text(text)
    return path


@contextmanager
def touched(path: Path, times: Iterator[int]) -> Iterator[None]:
    """Somebody far away is alive, by whatever clock."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(0.1):
            moment = next(times)
            os.utime(path, (moment, moment))

    thread = threading.Thread(target=touch)
    thread.start()
    yield
    over.set()
    thread.join()


def test_it_is_held_and_let_go(run: RunDir) -> None:
    for _ in range(3):
        with CoordinatorLock(run, **QUICK):
            found = holder(run)
            assert found is not None
            assert found.pid == os.getpid()
            assert found.here
            with pytest.raises(RunError, match=f"is being coordinated by process {os.getpid()} on"):
                CoordinatorLock(run).__enter__()
        assert holder(run) is None
    assert len(list(run.lock.iterdir())) == 1


def test_the_lock_of_a_dead_process_holds_nothing(run: RunDir) -> None:
    here = {"pid": os.getpid(), "host": platform.node(), "space": module._space()}
    held_by(run, **here)
    assert holder(run) is None
    began = time.monotonic()
    with CoordinatorLock(run):
        assert holder(run) is not None
    assert time.monotonic() - began < 5


def test_a_namesake_with_processes_of_its_own_is_another_machine(run: RunDir) -> None:
    """Containers may share a host's name, and their pids mean nothing here."""
    path = held_by(run, host=platform.node(), pid=os.getpid())
    with touched(path, iter(range(1, 10**6))), pytest.raises(RunError):
        CoordinatorLock(run, **QUICK).__enter__()


@pytest.mark.parametrize("first", [1, 4_000_000_000])
def test_a_holder_on_another_machine_is_respected_whatever_its_clock(
    run: RunDir, first: int
) -> None:
    path = held_by(run, job="4711")
    said: list[str] = []
    with (
        touched(path, iter(range(first, first + 10**6))),
        pytest.raises(RunError, match=r"process 1 on elsewhere \(Slurm job 4711\)"),
    ):
        CoordinatorLock(run, say=said.append, **QUICK).__enter__()
    assert "watching for" in said[0]


def test_a_holder_that_falls_silent_is_replaced(run: RunDir) -> None:
    path = held_by(run, number=7)
    os.utime(path, (4_000_000_000, 4_000_000_000))  # its clock says nothing
    began = time.monotonic()
    with CoordinatorLock(run, **QUICK):
        assert time.monotonic() - began >= QUICK["stale_s"]
        found = holder(run)
        assert found is not None
        assert found.here
    assert run.lock_numbers() == {8}


def test_of_many_that_see_a_dead_holder_one_wins(run: RunDir) -> None:
    held_by(run)
    count = 12
    inside, lost = [], []
    at_once, over = threading.Barrier(count), threading.Barrier(count)

    def compete() -> None:
        at_once.wait()
        try:
            with CoordinatorLock(run, **QUICK):
                inside.append(holder(run))
                over.wait(20)
        except RunError:
            lost.append(1)
            over.wait(20)

    threads = [threading.Thread(target=compete) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(inside), len(lost)) == (1, count - 1)


def test_one_taken_for_dead_finds_out(run: RunDir) -> None:
    with CoordinatorLock(run, **QUICK) as late:
        late.check()
        successor = held_by(run, number=max(run.lock_numbers()) + 1)
        for number in run.lock_numbers() - {int(successor.stem)}:
            run.lock_file(number).unlink()
        with pytest.raises(RunError, match="has been taken over by process 1 on elsewhere"):
            late.check()
        assert late.lost
    assert "elsewhere" in successor.read_text(), "it must not let go of what it doesn't hold"


def test_one_that_watched_for_too_long_does_not_win_by_an_old_number(run: RunDir) -> None:
    """It saw number 1 die; meanwhile 2 came and went, and 3 holds."""

    class Late(CoordinatorLock):
        watched = 0

        def _watch(self, found: module._Seen) -> None:
            self.watched += 1
            if self.watched == 1:
                run.lock_file(1).unlink()
                held_by(run, number=3)
                return
            assert found.number == 3
            raise RunError("it is held")

    held_by(run, number=1)
    with pytest.raises(RunError, match="it is held"):
        Late(run).__enter__()
    assert run.lock_numbers() == {3}


def test_a_file_that_says_nothing_is_watched(run: RunDir) -> None:
    path = held_by(run)
    path.write_text("")
    with touched(path, iter(range(1, 10**6))), pytest.raises(RunError, match="another process"):
        CoordinatorLock(run, **QUICK).__enter__()
    with CoordinatorLock(run, **QUICK):
        assert run.lock_numbers() == {2}


def test_without_hard_links_one_process_makes_a_number(tmp_path: Path) -> None:
    made = [module._make_without_links(tmp_path / "000001.json", b"{}") for _ in range(2)]
    assert made == [True, False]


def test_status_does_not_believe_in_the_silent(run: RunDir) -> None:
    path = held_by(run)
    assert holder(run) is not None
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    assert holder(run) is None
