"""What starts workers and knows how they are doing.

A scheduler is told which shards to run and runs them somewhere.  Whether a
shard is finished is never its business: the result file on disk says that.
What it reports are hints, and failures that it could not mend by trying again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

import hpc_runner
from hpc_runner.errors import SchedulerError
from hpc_runner.rundir import RunDir

__all__ = [
    "EXIT_STOPPED",
    "LocalScheduler",
    "Scheduler",
    "ShardState",
    "worker_command",
    "worker_environment",
]

EXIT_STOPPED = 3
"""A worker's exit code when it was asked to stop: what is finished is committed."""
EXIT_MISTAKE = 2
"""A worker's exit code when the user has to mend something: trying again is no use."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)

Shard = tuple[int, int]
"""(wave, shard)."""


class ShardState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    """Its worker has ended well; the result file says whether the shard is finished."""


class Scheduler(Protocol):
    """One table row: ``local`` here; clusters add theirs."""

    def submit(self, run: RunDir, wave: int, shards: Sequence[int]) -> None:
        """Have these shards run, at some time, in some order.  Submitting a shard
        that is queued or running does nothing."""

    def states(self) -> Mapping[Shard, ShardState]:
        """Of all that was submitted.  Raises ``SchedulerError`` for a shard whose
        workers keep failing."""

    def wait(self, timeout_s: float) -> None:
        """Return when a state may have changed, after ``wake()``, or after ``timeout_s``."""

    def wake(self) -> None:
        """End a ``wait``; may be called from a signal handler."""

    def cancel(self, *, kill: bool = False) -> None:
        """Start nothing more and ask what runs to commit and stop; ``kill`` doesn't ask.
        Returns at once: ``wait`` until ``running`` is 0."""

    @property
    def running(self) -> int:
        """Workers that are alive."""


def worker_command(run: RunDir, wave: int, shard: int) -> list[str]:
    """The process that runs one shard; it stops by itself when this process is gone."""
    where = [str(run.root), str(wave), str(shard)]
    parent = ["--die-with-parent", str(os.getpid())]
    # -P: files that lie where the user happens to be must not replace modules.
    return [sys.executable, "-P", "-m", "hpc_runner.sandbox.worker", *where, *parent]


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without anything that looks like a secret, and such that a checkout
    that isn't installed is found."""
    kept = {name: value for name, value in environ.items() if not _SECRET.search(name)}
    home = Path(hpc_runner.__file__).parents[1]
    if home.name not in ("site-packages", "dist-packages"):
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), kept.get("PYTHONPATH")]))
    return kept


@dataclass
class _Job:
    run: RunDir
    failures: int = 0
    not_before: float = 0.0  # time.monotonic()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)


class LocalScheduler:
    """Worker processes on this machine, at most ``workers`` at a time.

    A worker that fails is started again up to ``retries`` times, after
    ``backoff_s`` seconds and twice as long each time.  The processes stay in
    this process group, so that a signal to the group reaches all of them.
    Not safe for use from several threads, except ``wake``.
    """

    def __init__(
        self,
        workers: int,
        *,
        command: Callable[[RunDir, int, int], Sequence[str]] = worker_command,
        retries: int = 3,
        backoff_s: float = 0.5,
    ) -> None:
        self._workers = workers
        self._command = command
        self._retries = retries
        self._backoff_s = backoff_s
        self._jobs: dict[Shard, _Job] = {}
        self._queue: dict[Shard, None] = {}  # in order
        self._running: set[Shard] = set()
        self._events: SimpleQueue[Shard | None] = SimpleQueue()
        self._cancelled = False
        self._failure: SchedulerError | None = None

    def submit(self, run: RunDir, wave: int, shards: Sequence[int]) -> None:
        for shard in shards:
            key = (wave, shard)
            if key in self._running or key in self._queue:
                continue
            self._jobs[key] = _Job(run)
            self._queue[key] = None
        self._start_ready()

    def states(self) -> dict[Shard, ShardState]:
        if self._failure is not None:
            raise self._failure
        states = dict.fromkeys(self._jobs, ShardState.ENDED)
        states |= dict.fromkeys(self._queue, ShardState.QUEUED)
        return states | dict.fromkeys(self._running, ShardState.RUNNING)

    @property
    def running(self) -> int:
        return len(self._running)

    def wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            now = time.monotonic()
            until = min([deadline, *self._retry_times()])
            try:
                event = self._events.get(timeout=max(0.0, until - now))
            except Empty:
                self._start_ready()
                if time.monotonic() >= deadline:
                    return
                continue
            if event is not None:
                self._ended(event)
            self._start_ready()
            return

    def wake(self) -> None:
        self._events.put(None)

    def cancel(self, *, kill: bool = False) -> None:
        self._cancelled = True
        for key in self._queue:
            del self._jobs[key]
        self._queue.clear()
        for key in self._running:
            process = self._jobs[key].process
            if process is not None:
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)

    def _retry_times(self) -> list[float]:
        if self._cancelled or len(self._running) >= self._workers:
            return []
        return [self._jobs[key].not_before for key in self._queue]

    def _start_ready(self) -> None:
        now = time.monotonic()
        for key in list(self._queue):
            if self._cancelled or len(self._running) >= self._workers:
                return
            if self._jobs[key].not_before <= now:
                del self._queue[key]
                self._start(key)

    def _start(self, key: Shard) -> None:
        wave, shard = key
        job = self._jobs[key]
        log = job.run.log(wave, shard)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as stderr:
                job.process = subprocess.Popen(
                    self._command(job.run, wave, shard),
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    env=worker_environment(os.environ),
                )
        except OSError as error:
            self._failed(key, f"its worker can't be started: {error}")
            return
        self._running.add(key)
        threading.Thread(
            target=self._watch, args=(key, job.process), name=f"watch {wave}/{shard}", daemon=True
        ).start()

    def _watch(self, key: Shard, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(key)

    def _ended(self, key: Shard) -> None:
        self._running.discard(key)
        job = self._jobs[key]
        code = job.process.returncode if job.process is not None else None
        finished = job.run.result(*key).exists()
        if finished or self._cancelled:
            return
        if code == 0:
            self._failed(key, "its worker ended well but left no result file")
        elif code == EXIT_STOPPED:
            self._failed(key, "its worker was stopped by someone else")
        elif code is not None and code < 0:
            self._failed(key, f"its worker died of signal {-code} ({signal.strsignal(-code)})")
        else:
            self._failed(key, f"its worker ended with exit code {code}")

    def _failed(self, key: Shard, reason: str) -> None:
        wave, shard = key
        job = self._jobs[key]
        job.failures += 1
        final = job.process is not None and job.process.returncode == EXIT_MISTAKE
        if job.failures <= self._retries and not final:
            job.not_before = time.monotonic() + self._backoff_s * 2 ** (job.failures - 1)
            self._queue[key] = None
            return
        log = job.run.log(wave, shard)
        self._failure = self._failure or SchedulerError(
            f"shard {shard} of wave {wave} failed {_times(job.failures)}; the last time {reason}. "
            f"The end of {log}:\n{_tail(log)}\n"
            f"What is finished is kept: mend the cause, then `hpc-runner resume {job.run.root}`"
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _tail(log: os.PathLike[str], lines: int = 5, most_bytes: int = 4096) -> str:
    try:
        with open(log, "rb") as file:  # noqa: PTH123
            file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"    (can't be read: {error.strerror})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"
