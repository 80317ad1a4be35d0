"""Workers as processes of this machine."""

from __future__ import annotations

import itertools
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from hpc_runner.pipeline.scheduler import (
    Attempt,
    AttemptState,
    Cause,
    cause_of_exit,
    worker_environment,
)
from hpc_runner.rundir import RunDir

__all__ = ["LocalScheduler", "worker_command"]

Shard = tuple[int, int]
"""(wave, shard)."""


def worker_command(run: RunDir, wave: int, shard: int) -> list[str]:
    """The process that runs one shard; it stops by itself when this process is gone."""
    where = [str(run.root), str(wave), str(shard)]
    parent = ["--die-with-parent", str(os.getpid())]
    # -P: files that lie where the user happens to be must not replace modules.
    return [sys.executable, "-P", "-m", "hpc_runner.sandbox.worker", *where, *parent]


@dataclass
class _Job:
    run: RunDir
    attempt: Attempt
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)


class LocalScheduler:
    """Worker processes on this machine, at most ``workers`` at a time.

    The processes stay in this process group, so that a signal to the group
    reaches all of them, and none outlives this process.  There is one node, so
    ``exclude`` means nothing here.  Not safe for use from several threads,
    except ``wake``.
    """

    def __init__(
        self,
        workers: int,
        *,
        command: Callable[[RunDir, int, int], Sequence[str]] = worker_command,
    ) -> None:
        self._workers = workers
        self._command = command
        self._node = platform.node()
        # The pid alone would come again after a reboot.
        self._name = f"local-{self._node}-{os.getpid()}-{time.time_ns():x}"
        self._numbers = itertools.count()
        self._jobs: dict[str, _Job] = {}
        self._queued: dict[Shard, str] = {}  # in order
        self._alive: dict[Shard, str] = {}
        self._events: SimpleQueue[str | None] = SimpleQueue()
        self._cancelled = False

    def submit(
        self, run: RunDir, wave: int, shards: Sequence[int], *, exclude: Sequence[str] = ()
    ) -> None:
        for shard in shards:
            key = (wave, shard)
            if key in self._alive or key in self._queued:
                continue
            identity = f"{self._name}-{next(self._numbers)}"
            self._jobs[identity] = _Job(run, Attempt(identity, *key, AttemptState.QUEUED))
            self._queued[key] = identity
        self._start_queued()

    def attempts(self) -> list[Attempt]:
        return [job.attempt for job in self._jobs.values()]

    def abandon(self, ids: Sequence[str]) -> None:
        for identity in ids:
            job = self._jobs.get(identity)
            if job is None or job.attempt.state is AttemptState.ENDED:
                continue
            self._end(identity, Cause.LOST, "it was given up")
            if job.process is not None:
                job.process.kill()
        self._start_queued()

    @property
    def running(self) -> int:
        return len(self._alive)

    def wait(self, timeout_s: float) -> None:
        try:
            identity = self._events.get(timeout=max(0.0, timeout_s))
        except Empty:
            return
        if identity is not None:
            process = self._jobs[identity].process
            assert process is not None
            self._end(identity, *cause_of_exit(process.returncode))
            self._start_queued()

    def wake(self) -> None:
        self._events.put(None)

    def cancel(self, *, kill: bool = False) -> None:
        self._cancelled = True
        for identity in self._queued.values():
            del self._jobs[identity]
        self._queued.clear()
        for identity in self._alive.values():
            process = self._jobs[identity].process
            if process is not None:
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)

    def _start_queued(self) -> None:
        while self._queued and len(self._alive) < self._workers and not self._cancelled:
            key, identity = next(iter(self._queued.items()))
            del self._queued[key]
            self._start(key, identity)

    def _start(self, key: Shard, identity: str) -> None:
        job = self._jobs[identity]
        log = job.run.log(*key)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as stderr:
                job.process = subprocess.Popen(
                    self._command(job.run, *key),
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    env=worker_environment(os.environ),
                )
        except OSError as error:
            self._end(identity, Cause.FAILED, f"its worker can't be started: {error}")
            self.wake()
            return
        self._alive[key] = identity
        job.attempt = replace(job.attempt, state=AttemptState.RUNNING, node=self._node)
        threading.Thread(
            target=self._watch, args=(identity, job.process), name=f"watch {key}", daemon=True
        ).start()

    def _watch(self, identity: str, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(identity)

    def _end(self, identity: str, cause: Cause, detail: str) -> None:
        """Once only: the first cause stands."""
        job = self._jobs[identity]
        if job.attempt.state is AttemptState.ENDED:
            return
        key = (job.attempt.wave, job.attempt.shard)
        for places in (self._queued, self._alive):
            if places.get(key) == identity:
                del places[key]
        job.attempt = replace(
            job.attempt,
            state=AttemptState.ENDED,
            cause=cause,
            detail=detail,
            node=job.attempt.node or self._node,
        )
