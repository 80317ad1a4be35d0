"""What happens next in a run.

    candidates.parquet → shards that have no result are submitted
                       → every shard has a result: vote → votes.parquet
                       → summary.json: the run is complete

``step`` looks at the disk and the scheduler, does the next of these and
returns.  What it keeps between two calls (``Tries``) may be lost, so that a
coordinator that died is replaced by calling it again.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import FrameType

from hpc_runner.errors import RunError, SchedulerError, StorageError
from hpc_runner.pipeline.lock import CoordinatorLock, Holder, holder
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause, Scheduler
from hpc_runner.results.files import write_json
from hpc_runner.results.summary import summarise
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["Phase", "State", "Tries", "cancel", "run_to_end", "step"]

TICK_S = 1.0
"""How often progress is shown while nothing else happens."""
GRACE_S = 30.0
"""What workers get to commit and stop before they are killed."""
WAVE = 0


class Phase(StrEnum):
    RUNNING = "running"
    VOTED = "voted"
    DONE = "done"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """By a signal; the run can be resumed."""


@dataclass(frozen=True)
class State:
    phase: Phase
    shards: int
    finished: int
    running: int = 0


@dataclass
class Tries:
    """Which shards failed, and when they may be tried again.

    A shard that failed waits ``backoff_s`` seconds, twice as long each time,
    and after ``retries`` times more than the first the run stops.
    """

    retries: int = 3
    backoff_s: float = 0.5
    _counted: set[str] = field(default_factory=set)
    _failures: dict[int, int] = field(default_factory=dict)
    _not_before: dict[int, float] = field(default_factory=dict)  # time.monotonic()

    def count(self, run: RunDir, ended: Attempt) -> None:
        """Raises ``SchedulerError`` when it was once too often."""
        if ended.id in self._counted:
            return
        self._counted.add(ended.id)
        if ended.cause in (Cause.STOPPED, Cause.LOST, Cause.TIMEOUT):
            return
        count = self._failures[ended.shard] = self._failures.get(ended.shard, 0) + 1
        if ended.cause is Cause.MISTAKE or count > self.retries:
            raise SchedulerError(_given_up(run, ended, count))
        self._not_before[ended.shard] = time.monotonic() + self.backoff_s * 2 ** (count - 1)

    def may_start(self, shard: int) -> bool:
        return self._not_before.get(shard, 0.0) <= time.monotonic()

    def wait_s(self) -> float:
        """Seconds until the next shard may be tried again."""
        now = time.monotonic()
        later = [moment - now for moment in self._not_before.values() if moment > now]
        return min(later, default=math.inf)


def step(run: RunDir, scheduler: Scheduler, tries: Tries) -> State:
    """Do the next thing of a planned run.

    Raises ``RunError`` for a directory that is no run, ``SchedulerError`` for a
    shard that keeps failing, ``StorageError``.
    """
    info = read_info(run)
    # Before the disk is looked at: what had ended then has left its result by now.
    attempts = [attempt for attempt in scheduler.attempts() if attempt.wave == WAVE]
    finished = run.finished_shards(WAVE)
    running = sum(attempt.state is AttemptState.RUNNING for attempt in attempts)

    def now(phase: Phase) -> State:
        return State(phase, info.shards, len(finished), running)

    if run.cancelled.exists():
        return now(Phase.CANCELLED)
    if len(finished) < info.shards:
        for attempt in attempts:
            if attempt.state is AttemptState.ENDED and attempt.shard not in finished:
                tries.count(run, attempt)
        taken = {attempt.shard for attempt in attempts if attempt.state is not AttemptState.ENDED}
        missing = [
            shard
            for shard in range(info.shards)
            if shard not in finished and shard not in taken and tries.may_start(shard)
        ]
        if missing:
            scheduler.submit(run, WAVE, missing)
        return now(Phase.RUNNING)
    if not run.votes.exists():
        vote(run, WAVE, info.config.consensus_threshold)
        return now(Phase.VOTED)
    if not run.summary.exists():
        write_json(run.summary, summarise(run).model_dump(mode="json"))
    return now(Phase.DONE)


def run_to_end(
    run: RunDir,
    scheduler: Scheduler,
    *,
    on_change: Callable[[State], None],
    say: Callable[[str], None],
    tries: Tries | None = None,
) -> State:
    """Step until the run is complete or stopped.

    ``on_change`` is called after each step and at least every ``TICK_S``
    seconds; ``say`` gets a line for people when something out of the ordinary
    happens.  The first SIGINT or SIGTERM asks the workers to commit and stop,
    the second kills them: nothing is lost but what was in flight.  A run that
    was cancelled goes on.  Raises what ``step`` and ``CoordinatorLock`` raise,
    when no worker runs any more.
    """
    tries = tries or Tries()
    with CoordinatorLock(run), _stop_signals(scheduler) as stop:
        run.cancelled.unlink(missing_ok=True)
        try:
            while True:
                state = step(run, scheduler, tries)
                on_change(state)
                if state.phase in (Phase.DONE, Phase.CANCELLED):
                    return state
                if stop.asked:
                    say("Stopping: the workers keep what is finished. Once more to kill them.")
                    return State(Phase.STOPPED, state.shards, state.finished)
                if state.phase is Phase.RUNNING:
                    scheduler.wait(min(TICK_S, tries.wait_s()))
        finally:
            _drain(scheduler, stop)


def cancel(run: RunDir) -> Holder | None:
    """Have the run's coordinator stop its workers and end; its process is returned if it
    is known.  The coordinator of another host sees the marker at its next step.

    Raises ``RunError`` for a run that is complete, or no run.
    """
    read_info(run)
    if run.summary.exists():
        raise RunError(f"{run.root} is complete, there is nothing to cancel")
    try:
        run.cancelled.touch()
    except OSError as error:
        raise StorageError(f"can't write {run.cancelled}: {error.strerror}") from error
    found = holder(run)
    if found is not None and found.here:
        try:
            os.kill(found.pid, signal.SIGTERM)
        except ProcessLookupError:
            return None
        except PermissionError:
            return found
    return found


@dataclass
class _Stop:
    asked: int = 0


@contextmanager
def _stop_signals(scheduler: Scheduler) -> Iterator[_Stop]:
    stop = _Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.asked += 1
        scheduler.wake()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(scheduler: Scheduler, stop: _Stop) -> None:
    """Return when no worker runs any more."""
    scheduler.cancel()
    deadline = time.monotonic() + GRACE_S
    killed = False
    while scheduler.running:
        if not killed and (stop.asked > 1 or time.monotonic() >= deadline):
            scheduler.cancel(kill=True)
            killed = True
        scheduler.wait(TICK_S)


def _given_up(run: RunDir, ended: Attempt, failures: int) -> str:
    times = "once" if failures == 1 else f"{failures} times"
    reason = ended.detail
    if ended.cause is Cause.DONE:
        reason += ", but left no result file"
    log = run.log(ended.wave, ended.shard)
    return (
        f"shard {ended.shard} of wave {ended.wave} failed {times}; the last time {reason}. "
        f"The end of {log}:\n{_tail(log)}\n"
        f"What is finished is kept: mend the cause, then `hpc-runner resume {run.root}`"
    )


def _tail(log: Path, lines: int = 5, most_bytes: int = 4096) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"    (can't be read: {error.strerror})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"
