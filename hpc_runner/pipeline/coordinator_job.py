"""One coordinator of a chain of jobs (chain.py): ``python -m ...coordinator_job RUN``.

It plans the run if that has not been done, steps until there is nothing to do but wait for
arrays, and ends: its successor goes on when they have ended.  Whatever this job dies of, the
successor starts; what would only be repeated (a mistake in the configuration, a shard that keeps
failing, ``MOST_STARTS`` coordinators without any progress) ends the chain, and chain.json says
why.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Self, TypeVar

from hpc_runner.config import RunConfig
from hpc_runner.errors import (
    HpcRunnerError,
    RunError,
    SchedulerBusy,
    SchedulerError,
    StorageError,
)
from hpc_runner.pipeline.chain import Chain, Record, read_record, write_record
from hpc_runner.pipeline.coordinator import Phase, State, WaveOpener, step
from hpc_runner.pipeline.lock import CoordinatorLock
from hpc_runner.pipeline.plan import plan, refuse_foreign
from hpc_runner.pipeline.profile_files import read_profile, write_profile
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import AttemptState
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.pipeline.waves import Memory
from hpc_runner.refine.engine import refinement
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["begin", "cancel", "coordinate", "main", "resume"]

MOST_STARTS = 10
"""Coordinators in a row after which the run stands where it stood before."""
AGAIN_S = 60
"""Until a successor tries what has failed and may work then."""
BUSY_S = 10.0
"""Until a Slurm that didn't answer is asked again."""
TICK_S = 5.0

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

T = TypeVar("T")


def begin(run: RunDir, config: RunConfig, profile: Profile, slurm: Slurm | None = None) -> int:
    """Have a run planned and coordinated by jobs; returns the first one's id.

    Doing it again for the same directory adds no second chain.  Raises ``ConfigError``,
    ``SchedulerError``, ``StorageError``.
    """
    if not run.info.exists() and run.root.exists():
        refuse_foreign(run)
    write_profile(run, profile)
    write_record(run, Record(config=config.model_dump(mode="json")))
    return Chain(run, profile, slurm or Slurm()).ensure()


def resume(run: RunDir, slurm: Slurm | None = None) -> tuple[int, bool]:
    """Mend a chain that is broken, or goes on after it was cancelled or stopped.

    Returns the id of the coordinator that runs or is queued, and whether it is a new one.
    Raises ``RunError`` for a run that no chain coordinates, and as ``begin``.
    """
    record, profile = _records(run)
    run.cancelled.unlink(missing_ok=True)
    write_record(run, replace(record, starts=0, stopped=None))
    chain = Chain(run, profile, slurm or Slurm())
    queued = {job.array for job in chain.jobs()}
    found = chain.ensure()
    return found, found not in queued


def cancel(run: RunDir, slurm: Slurm | None = None) -> None:
    """End every job of a run: array tasks commit what they have and stop.

    Raises ``RunError`` for a run that was never on a cluster, ``SchedulerError``.
    """
    profile = read_profile(run)
    if profile is None:
        raise RunError(f"{run.root} has no profile.json: it was never on a cluster")
    slurm = slurm or Slurm()
    try:
        run.cancelled.touch()
    except OSError as error:
        raise StorageError(f"can't write {run.cancelled}: {error.strerror}") from error
    Chain(run, profile, slurm).end()
    if run.info.exists():
        SlurmScheduler(run, profile, slurm=slurm).cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    (root,) = sys.argv[1:] if arguments is None else arguments
    run, slurm = RunDir(Path(root)), Slurm()
    try:
        return coordinate(run, int(os.environ["SLURM_JOB_ID"]), slurm)
    except HpcRunnerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code


Opener = Callable[[RunDir], AbstractContextManager[WaveOpener | None]]
"""What opens the waves of a run that is planned, for as long as it is coordinated here."""


def refining(run: RunDir) -> AbstractContextManager[WaveOpener | None]:
    """The run's own refinement, if any was asked for."""
    return refinement(run, read_info(run).config.refine, _say)


def coordinate(
    run: RunDir, me: int, slurm: Slurm, opener: Opener = refining, tick_s: float = TICK_S
) -> int:
    """Do what job ``me`` has to; returns its exit code.

    Raises what ends the chain, and what makes it start again after ``AGAIN_S``.
    """
    record, profile = _records(run)
    chain = Chain(run, profile, slurm)
    with _Stop() as stop:
        if run.cancelled.exists() or run.summary.exists():
            stop.patiently(lambda: chain.end(besides=me))
            return 0
        record = _count(run, record)
        successor = stop.patiently(lambda: chain.ensure(besides=me))
        if successor is None:
            return 0
        try:
            if record.starts > MOST_STARTS:
                raise SchedulerError(f"{MOST_STARTS} coordinators have brought the run no further")
            if not run.info.exists():
                config = RunConfig.parse(record.config or {})
                plan(run, config, progress=_say, profile=profile)
            with CoordinatorLock(run, say=_say) as lock, opener(run) as stop.opener:
                scheduler = SlurmScheduler(run, profile, slurm=slurm)
                arrays = _see_through(run, scheduler, lock, stop.opener, stop, tick_s)
        except HpcRunnerError as error:
            if not isinstance(error, RunError | SchedulerBusy | StorageError):
                write_record(run, replace(record, stopped=str(error)))
                chain.end(besides=me)
                raise
            chain.delay(successor, AGAIN_S)
            raise
        except Exception:
            chain.delay(successor, AGAIN_S)
            raise
        if arrays:
            # Without that it would start now, find nothing to do, and so would all after it.
            stop.patiently(lambda: chain.wait_for(successor, arrays))
            stop.patiently(chain.watch)
        elif not stop.asked:
            stop.patiently(lambda: chain.end(besides=me))
    return 0


def _see_through(
    run: RunDir,
    scheduler: SlurmScheduler,
    lock: CoordinatorLock,
    opener: WaveOpener | None,
    stop: _Stop,
    tick_s: float,
) -> list[int]:
    """The arrays that are to be waited for; none at the end of the run, or when told to stop."""
    memory = Memory()
    while not stop.asked:
        lock.check()
        state = step(run, scheduler, memory, opener)
        for line in state.news:
            _say(line)
        if state.phase in (Phase.DONE, Phase.CANCELLED):
            _say(f"the run is {state.phase}")
            break
        if state.phase is Phase.RUNNING:
            if arrays := _only_waiting(run, state, scheduler, memory):
                return arrays
            stop.wait(scheduler, memory.wait_s(tick_s))
    return []


def _only_waiting(
    run: RunDir, state: State, scheduler: SlurmScheduler, memory: Memory
) -> list[int]:
    """The arrays in flight, if they hold every shard that has no result."""
    finished = run.finished_shards(state.wave)
    in_flight = {
        attempt.shard
        for attempt in scheduler.attempts()
        if attempt.wave == state.wave and attempt.state is not AttemptState.ENDED
    }
    if len(finished | in_flight) < state.shards or memory.wait_s(math.inf) < math.inf:
        return []
    return scheduler.arrays() or []


def _say(line: str) -> None:
    print(line, flush=True)


def _records(run: RunDir) -> tuple[Record, Profile]:
    record, profile = read_record(run), read_profile(run)
    if record is None or profile is None:
        raise RunError(f"{run.root} is not coordinated by a chain of jobs: it has no chain.json")
    return record, profile


def _count(run: RunDir, record: Record) -> Record:
    """One more start; the first one when the run has come on."""
    progress = _progress(run)
    starts = record.starts + 1 if progress == record.progress else 1
    counted = replace(record, starts=starts, progress=progress, stopped=None)
    write_record(run, counted)
    return counted


def _progress(run: RunDir) -> str:
    """What changes when something has been done: results, votes, and what failed."""
    seen: list[object] = [run.info.exists(), run.votes.exists()]
    for wave in run.waves():
        seen.append(len(run.finished_shards(wave)))
        if run.ledger(wave).exists():
            seen.append(run.ledger(wave).stat().st_mtime_ns)
    return " ".join(map(str, seen))


class _Stop:
    """Slurm wants this job to end: soon, or nearly now."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._scheduler: SlurmScheduler | None = None
        self.opener: WaveOpener | None = None
        """Is told, too."""

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._ask) for number in _STOPS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()
        if self.opener is not None:
            self.opener.stop()
        if self._scheduler is not None:
            self._scheduler.wake()

    def wait(self, scheduler: SlurmScheduler, seconds: float) -> None:
        self._scheduler = scheduler
        scheduler.wait(0.0 if self.asked else seconds)

    def patiently(self, do: Callable[[], T]) -> T | None:
        """The answer; None when there was none before this job has to end."""
        while True:
            try:
                return do()
            except SchedulerBusy as busy:
                print(busy, file=sys.stderr, flush=True)
                if self._asked.wait(BUSY_S):
                    return None


if __name__ == "__main__":
    sys.exit(main())
