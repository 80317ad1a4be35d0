"""What workers wrote, as `hpc-runner logs` shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc_runner.errors import RunError
from hpc_runner.pipeline.logs import Logs, follow
from hpc_runner.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Two waves; shards 0 and 12 of the first have logs, and shard 3 of the second."""
    made = RunDir(tmp_path)
    for wave, shard, text in [(0, 12, "b\n"), (0, 0, "a\na"), (1, 3, "c\xff\n")]:
        made.log(wave, shard).parent.mkdir(parents=True, exist_ok=True)
        made.log(wave, shard).write_bytes(text.encode("latin-1"))
        made.candidates(wave).touch()
    (made.log(0, 0).parent / "notes.log").touch()
    return made


def read(logs: Logs, *, whole: bool = True) -> list[tuple[int, int, str]]:
    return [(line.wave, line.shard, line.text) for line in logs.read(whole=whole)]


def test_every_log_is_read_in_order(run: RunDir) -> None:
    assert read(Logs(run)) == [(0, 0, "a"), (0, 0, "a"), (0, 12, "b"), (1, 3, "c\\xff")]
    assert read(Logs(run, wave=0, shard=12)) == [(0, 12, "b")]
    assert read(Logs(run, shard=3)) == [(1, 3, "c\\xff")]


def test_a_line_that_is_being_written_waits_for_its_end(run: RunDir) -> None:
    logs = Logs(run, wave=0, shard=0)
    assert read(logs, whole=False) == [(0, 0, "a")]
    assert read(logs, whole=False) == []
    with run.log(0, 0).open("a") as file:
        file.write("bc\nd")
    assert read(logs, whole=False) == [(0, 0, "abc")]
    assert read(logs) == [(0, 0, "d")]


def test_following_ends_with_the_run_and_misses_nothing(run: RunDir) -> None:
    """A shard that starts later is seen, too, and what was written at the very end."""
    ends = iter([False, False, True])

    def happens() -> None:
        with run.log(0, 5).open("a") as file:
            file.write("x\ny")

    seen = [line.text for line in follow(Logs(run, wave=0), lambda: next(ends), happens)]
    assert seen == ["a", "b", "x", "a", "yx", "y"]


def test_what_is_not_there_is_told(run: RunDir) -> None:
    with pytest.raises(RunError, match=r"no wave 7 \(there are: 0, 1\)"):
        Logs(run, wave=7).check()
    with pytest.raises(RunError, match="no worker of shard 9 has written anything"):
        Logs(run, shard=9).check()
