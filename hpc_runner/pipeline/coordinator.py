"""What happens next in a run.

    candidates of a wave → shards that have no result are submitted (waves.py)
                         → every shard has a result: vote → votes.parquet
                         → many small results are put together (results/compact.py)
                         → the opener makes the next wave of what it refined
    no more waves        → summary.json: the run is complete

``step`` looks at the disk and the scheduler, does the next of these and
returns.  What it keeps between two calls (``Memory``) may be lost, so that a
coordinator that died is replaced by calling it again.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from types import FrameType
from typing import Protocol

from hpc_runner.errors import RunError, StorageError
from hpc_runner.logs import Category, event, open_logs
from hpc_runner.pipeline.cached import keep_votes
from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.lock import CoordinatorLock, Holder, holder
from hpc_runner.pipeline.scheduler import Scheduler
from hpc_runner.pipeline.waves import Memory, WaveState, advance, shards_of, take_back_votes
from hpc_runner.results.compact import compact
from hpc_runner.results.files import write_json
from hpc_runner.results.ledger import read_ledger, write_ledger
from hpc_runner.results.summary import summarise
from hpc_runner.results.vote import last_vote, vote
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info

__all__ = ["Phase", "State", "WaveOpener", "cancel", "run_to_end", "step"]

TICK_S = 1.0
"""How often progress is shown while nothing else happens."""
GRACE_S = 30.0
"""What workers get to commit and stop before they are killed."""


class WaveOpener(Protocol):
    """What makes the waves after the first: refinement."""

    def open(self, run: RunDir, wave: int) -> int | None:
        """Write the candidates of ``wave`` (``wave_writer``), with ``generation`` and
        ``parent``, once the wave before it has been voted on.

        Returns how many there are; 0, and no file: the run has no more waves; None: it was
        told to stop.  Called again for the same wave when it was interrupted.
        """

    def early(self, run: RunDir, wave: int, finished: Set[int]) -> None:
        """More shards of ``wave`` have finished while others run: what is known of them can
        be prepared for.  Must return soon; whatever it does is lost when this process is."""

    def stop(self) -> None:
        """Let ``open`` return soon.  May be called from a signal handler, any number of times."""


class Phase(StrEnum):
    RUNNING = "running"
    VOTED = "voted"
    OPENED = "opened"
    """The next wave has its candidates."""
    DONE = "done"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """By a signal; the run can be resumed."""


@dataclass(frozen=True)
class State:
    """Where a run stands after a step; counts are of the wave."""

    phase: Phase
    wave: int
    shards: int
    finished: int
    running: int = 0
    news: tuple[str, ...] = ()
    """Lines for people: what happened out of the ordinary."""


def step(
    run: RunDir,
    scheduler: Scheduler,
    memory: Memory | None = None,
    opener: WaveOpener | None = None,
) -> State:
    """Do the next thing of a planned run.

    Raises ``RunError`` for a directory that is no run, ``SchedulerError`` when
    going on is no use, ``StorageError``.
    """
    info = read_info(run)
    memory = memory or Memory()
    waves = run.waves()
    wave = waves[-1]
    shards = shards_of(run, wave)
    if run.cancelled.exists():
        return State(Phase.CANCELLED, wave, shards, len(run.finished_shards(wave)))
    voted = last_vote(run)
    news: tuple[str, ...] = ()
    for earlier in waves:
        if earlier not in memory.complete:
            if earlier <= voted and len(run.finished_shards(earlier)) < shards_of(run, earlier):
                take_back_votes(run)
                voted = -1
            seen = advance(run, earlier, scheduler, memory)
            if not seen.complete:
                return _running(run, earlier, seen, memory, opener)
            news += seen.news
        if earlier > voted:
            vote(run, earlier, info.config.consensus_threshold, rounds=info.config.rounds)
            shards = shards_of(run, earlier)
            return State(Phase.VOTED, earlier, shards, shards, news=news)
    if not run.summary.exists():
        for earlier in waves:
            compact(run, earlier)
            _keep_votes(run, info, earlier)
        opened = 0 if opener is None else opener.open(run, wave + 1)
        if opened is None:
            return State(Phase.STOPPED, wave, shards, shards)
        if opened:
            shards = shards_of(run, wave + 1)
            return State(Phase.OPENED, wave + 1, shards, 0)
        write_json(run.summary, summarise(run).model_dump(mode="json"))
    return State(Phase.DONE, wave, shards, shards)


def _running(
    run: RunDir, wave: int, seen: WaveState, memory: Memory, opener: WaveOpener | None
) -> State:
    finished = len(seen.finished)
    if opener is not None and memory.told.get(wave, 0) < finished:
        memory.told[wave] = finished
        opener.early(run, wave, seen.finished)
    return State(Phase.RUNNING, wave, seen.shards, finished, seen.running, seen.news)


def _keep_votes(run: RunDir, info: RunInfo, wave: int) -> None:
    """Give the votes to the result cache, once, but for the case that this process dies."""
    ledger = read_ledger(run, wave)
    if not ledger.votes_kept:
        keep_votes(run, info, wave)
        ledger.votes_kept = True
        write_ledger(run, wave, ledger)


def run_to_end(
    run: RunDir,
    scheduler: Scheduler,
    *,
    on_change: Callable[[State], None],
    say: Callable[[str], None],
    opener: WaveOpener | None = None,
    patience: Patience | None = None,
) -> State:
    """Step until the run is complete or stopped.

    ``on_change`` is called after each step and at least every ``TICK_S``
    seconds; ``say`` gets a line for people when something out of the ordinary
    happens.  The first SIGINT or SIGTERM asks the workers to commit and stop,
    the second kills them: nothing is lost but what was in flight.  A run that
    was cancelled goes on.  Raises what ``step`` and ``CoordinatorLock`` raise,
    when no worker runs any more.
    """
    memory = Memory(patience or Patience())
    with (
        CoordinatorLock(run, say=say) as lock,
        open_logs(run.logs),
        _stop_signals(scheduler, opener) as stop,
    ):
        run.cancelled.unlink(missing_ok=True)
        note = _Notes(run)
        try:
            while True:
                lock.check()
                state = step(run, scheduler, memory, opener)
                for line in state.news:
                    say(line)
                note(state)
                on_change(state)
                if state.phase in (Phase.DONE, Phase.CANCELLED):
                    return state
                if stop.asked:
                    say("Stopping: the workers keep what is finished. Once more to kill them.")
                    return replace(state, phase=Phase.STOPPED, running=0, news=())
                if state.phase is Phase.RUNNING:
                    scheduler.wait(memory.wait_s(TICK_S))
        finally:
            if not lock.lost:  # what runs on a cluster is the other coordinator's now
                _drain(scheduler, stop)


class _Notes:
    """What of a run goes into its logs."""

    def __init__(self, run: RunDir) -> None:
        self._run_id = read_info(run).run_id
        self._before: tuple[Phase, int, int] | None = None

    def __call__(self, state: State) -> None:
        for line in state.news:
            event("execution", line, level="warning", run_id=self._run_id, wave=state.wave)
        now = state.phase, state.wave, state.finished
        if now == self._before:
            return
        self._before = now
        category: Category = "execution"
        if state.phase is not Phase.RUNNING:
            category = "refinement" if state.phase is Phase.OPENED else "validation"
        event(
            category,
            f"run {state.phase}",
            run_id=self._run_id,
            wave=state.wave,
            shards=state.shards,
            finished=state.finished,
            running=state.running,
        )


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
def _stop_signals(scheduler: Scheduler, opener: WaveOpener | None) -> Iterator[_Stop]:
    stop = _Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.asked += 1
        scheduler.wake()
        if opener is not None:
            opener.stop()

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
