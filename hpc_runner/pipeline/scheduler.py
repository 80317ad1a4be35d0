"""What starts workers and says how they are doing: the seam that clusters implement.

A scheduler is told which shards to run and runs them somewhere, once each.
Whether a shard is finished is never its business: the result file on disk says
that.  Nor does it try again: it reports how each attempt ended, and the
coordinator decides.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import hpc_runner
from hpc_runner.rundir import RunDir

__all__ = [
    "EXIT_MISTAKE",
    "EXIT_STOPPED",
    "EXIT_TIME_UP",
    "Attempt",
    "AttemptState",
    "Cause",
    "Scheduler",
    "cause_of_exit",
    "package_environment",
    "worker_environment",
]

EXIT_MISTAKE = 2
"""A worker's exit code when the user has to mend something: trying again is no use."""
EXIT_STOPPED = 3
"""A worker's exit code when it was asked to stop: what is finished is committed."""
EXIT_TIME_UP = 4
"""An array task's exit code when its time was up before anything was finished."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


class AttemptState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    """As far as the scheduler knows: no proof of life."""
    ENDED = "ended"


class Cause(StrEnum):
    """Why an attempt ended."""

    DONE = "done"
    """Its worker ended well; the result file says whether the shard is finished."""
    FAILED = "failed"
    """Its worker failed, died or couldn't be started: counts against shard and node."""
    MISTAKE = "mistake"
    """Its worker says that the user has to mend something: the run stops."""
    STOPPED = "stopped"
    """It was told to stop: preempted, requeued, cancelled from outside."""
    TIMEOUT = "timeout"
    """Its time was up."""
    LOST = "lost"
    """Its node failed, it vanished, or its heartbeat stopped: nobody knows more."""


@dataclass(frozen=True)
class Attempt:
    """One worker on one shard, from the moment that it was submitted."""

    id: str
    """Unique in the run for ever: a cluster's ``12345_7.1``, ``local-HOST-...``."""
    wave: int
    shard: int
    state: AttemptState
    cause: Cause | None = None
    """Of what has ended."""
    detail: str = ""
    """Of what has ended, for people: "its worker died of signal 9 (Killed)"."""
    node: str | None = None
    """Where it runs or ran, if that is known."""


class Scheduler(Protocol):
    """``local`` is in local_scheduler.py; clusters add theirs."""

    def submit(
        self, run: RunDir, wave: int, shards: Sequence[int], *, exclude: Sequence[str] = ()
    ) -> None:
        """Have these shards run, at some time, in some order, not on the nodes of ``exclude``.

        A shard that is queued or running already is left alone.  Raises
        ``SchedulerError``.
        """

    def attempts(self) -> Sequence[Attempt]:
        """All that was submitted for the run, by earlier coordinators, too, as far as it can
        be known: what is missing counts as never submitted.  Raises ``SchedulerError``."""

    def abandon(self, ids: Sequence[str]) -> None:
        """Take these attempts for dead: end what is left of them without waiting for it, and
        report them as ended and ``LOST``, so that their shards can be submitted again.  Ids of
        attempts that have ended are ignored."""

    def wait(self, timeout_s: float) -> None:
        """Return when an attempt may have changed, after ``wake()``, or after ``timeout_s``."""

    def wake(self) -> None:
        """End a ``wait``; may be called from a signal handler."""

    def cancel(self, *, kill: bool = False) -> None:
        """Start nothing more and ask what runs to commit and stop; ``kill`` doesn't ask.
        Returns at once: ``wait`` until ``running`` is 0."""

    @property
    def running(self) -> int:
        """Workers that are alive, as far as is known."""


def cause_of_exit(code: int) -> tuple[Cause, str]:
    """What a worker's exit code says, ``-N`` for signal N: the cause, and a line for people."""
    if code == 0:
        return Cause.DONE, "its worker ended well"
    if code == EXIT_MISTAKE:
        return Cause.MISTAKE, f"its worker ended with exit code {code}"
    if code == EXIT_STOPPED:
        return Cause.STOPPED, "its worker was stopped by someone else"
    if code == EXIT_TIME_UP:
        return Cause.TIMEOUT, "its time was up before it had finished anything"
    if code < 0:
        return Cause.FAILED, f"its worker died of signal {-code} ({signal.strsignal(-code)})"
    return Cause.FAILED, f"its worker ended with exit code {code}"


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without anything that looks like a secret, and such that a checkout
    that isn't installed is found."""
    return {k: v for k, v in package_environment(environ).items() if not _SECRET.search(k)}


def package_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` such that a checkout that isn't installed is found."""
    home = Path(hpc_runner.__file__).parents[1]
    if home.name in ("site-packages", "dist-packages"):
        return dict(environ)
    others = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    first = [str(home), *(path for path in others if path != str(home))]
    return {**environ, "PYTHONPATH": os.pathsep.join(first)}
