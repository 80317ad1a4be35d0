"""What workers and coordinators wrote on stderr, from the run's directory alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc_runner.errors import RunError, StorageError
from hpc_runner.rundir import RunDir

__all__ = ["LogLine", "Logs", "follow"]

_STEP = 1 << 20


@dataclass(frozen=True)
class LogLine:
    wave: int
    shard: int
    text: str
    """Without its end; bytes that are no UTF-8 are escaped."""


class Logs:
    """The logs of a run's workers, of one wave or shard if told; or of its coordinators, whose
    lines have the wave and shard -1.

    ``read`` gives the lines that are new since it was called before, so that calling it again
    and again follows the run.  Raises ``StorageError`` for what can't be read.
    """

    def __init__(
        self,
        run: RunDir,
        wave: int | None = None,
        shard: int | None = None,
        *,
        coordinator: bool = False,
    ) -> None:
        self._run = run
        self._coordinator = coordinator
        self._wave = wave
        self._shard = shard
        self._read: dict[tuple[int, int], int] = {}

    def found(self) -> list[tuple[int, int]]:
        """(wave, shard) of each log there is, in order."""
        if self._coordinator:
            return [(-1, -1)] if self._run.coordinator_log.exists() else []
        waves = self._run.waves() if self._wave is None else [self._wave]
        pairs = []
        for wave in waves:
            folder = self._run.log(wave, 0).parent
            names = [path.name for path in folder.glob("*.log")]
            shards = [int(name[:-4]) for name in names if re.fullmatch(r"\d+\.log", name)]
            pairs += [(wave, n) for n in sorted(shards) if self._shard in (None, n)]
        return pairs

    def check(self) -> None:
        """Raises ``RunError`` when there is no such wave, or no log of it yet."""
        waves = self._run.waves()
        if self._wave is not None and self._wave not in waves:
            there = ", ".join(map(str, waves)) or "none"
            raise RunError(f"{self._run.root} has no wave {self._wave} (there are: {there})")
        if self._coordinator and not self.found():
            raise RunError(f"no Slurm job has coordinated {self._run.root} yet")
        if not self.found():
            what = "a shard" if self._shard is None else f"shard {self._shard}"
            raise RunError(f"no worker of {what} has written anything yet in {self._run.root}")

    def read(self, *, whole: bool = False) -> Iterator[LogLine]:
        """Complete lines; with ``whole`` the last one need not be."""
        for wave, shard in self.found():
            path = self._run.coordinator_log if wave < 0 else self._run.log(wave, shard)
            text = self._new(path, (wave, shard), whole=whole)
            for line in text.splitlines():
                yield LogLine(wave, shard, line)

    def _new(self, path: Path, key: tuple[int, int], *, whole: bool) -> str:
        at = self._read.get(key, 0)
        try:
            with path.open("rb") as file:
                file.seek(at)
                data = b"".join(iter(lambda: file.read(_STEP), b""))
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StorageError(f"can't read {path}: {error.strerror}") from error
        if not whole:
            data = data[: data.rfind(b"\n") + 1]
        self._read[key] = at + len(data)
        return data.decode("utf-8", "backslashreplace")


def follow(logs: Logs, done: Callable[[], bool], pause: Callable[[], None]) -> Iterator[LogLine]:
    """New lines until ``done``; ``pause`` is called between two looks."""
    while True:
        last = done()
        yield from logs.read(whole=last)
        if last:
            return
        pause()
