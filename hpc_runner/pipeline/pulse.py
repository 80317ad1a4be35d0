"""Which workers have fallen silent, though they should be running."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.scheduler import Attempt
from hpc_runner.rundir import RunDir

__all__ = ["Pulse"]

LOOKS = 6
"""Looks at the heartbeats within the time after which silence is death."""


@dataclass
class _Beat:
    mtime_ns: int | None
    since: float
    heard: bool = False


class Pulse:
    """Watches heartbeat files for change.

    No clock but this process's own is believed: a file's time is only compared
    with what it was.  Looks are rare (``LOOKS``), and none is taken in between.
    A time in which this process didn't run itself isn't held against anyone.
    """

    def __init__(self, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._interval = min(patience.silent_s, patience.first_word_s) / LOOKS
        self._beats: dict[str, _Beat] = {}
        self._last = clock()
        self._next = self._last

    def silent(self, run: RunDir, running: Iterable[Attempt]) -> list[Attempt]:
        """Those of the attempts ``running`` whose worker has said nothing for too long."""
        now = self._clock()
        slept = now - self._last > 2 * self._interval
        self._last = now
        if now < self._next and not slept:
            return []
        self._next = now + self._interval
        before, self._beats = self._beats, {}
        found = []
        for attempt in running:
            mtime_ns = _changed(run, attempt)
            beat = before.get(attempt.id) or _Beat(mtime_ns, now)
            if beat.mtime_ns != mtime_ns:
                beat = _Beat(mtime_ns, now, heard=True)
            elif slept:
                beat.since = now
            self._beats[attempt.id] = beat
            limit_s = self._patience.silent_s if beat.heard else self._patience.first_word_s
            if now - beat.since > limit_s:
                found.append(attempt)
        return found


def _changed(run: RunDir, attempt: Attempt) -> int | None:
    try:
        return run.heartbeat(attempt.wave, attempt.shard).stat().st_mtime_ns
    except OSError:
        return None
