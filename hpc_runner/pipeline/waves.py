"""One wave: its shards are submitted until every one of them has a result."""

from __future__ import annotations

import os
import time
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from hpc_runner.errors import SchedulerError, StorageError
from hpc_runner.pipeline import halving
from hpc_runner.pipeline.failures import Books, Patience, Stop
from hpc_runner.pipeline.pulse import Pulse
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Scheduler
from hpc_runner.results.candidates import shard_sizes
from hpc_runner.results.ledger import Ledger, read_ledger, write_ledger
from hpc_runner.results.portion import remove_portion, write_portion
from hpc_runner.rundir import RunDir

__all__ = ["Memory", "WaveState", "advance", "shards_of", "take_back_votes"]


@dataclass
class Memory:
    """What a coordinator keeps between steps.  All of it may be lost: it saves looking again,
    and makes failures wait."""

    patience: Patience = field(default_factory=Patience)
    complete: set[int] = field(default_factory=set)
    """Waves whose shards are all finished."""
    not_before: dict[tuple[int, int], float] = field(default_factory=dict)
    """(wave, shard) → when it may be tried again, by time.monotonic()."""

    told: dict[int, int] = field(default_factory=dict)
    """Wave → finished shards that the opener knows of."""

    def __post_init__(self) -> None:
        self.pulse = Pulse(self.patience)

    def wait_s(self, at_most: float) -> float:
        """Seconds until the next shard may be tried again."""
        now = time.monotonic()
        later = (at - now for at in self.not_before.values() if at > now)
        return min([at_most, *later])


@dataclass(frozen=True)
class WaveState:
    shards: int
    finished: frozenset[int]
    running: int
    news: tuple[str, ...] = ()
    """Lines for people."""

    @property
    def complete(self) -> bool:
        return len(self.finished) >= self.shards


def shards_of(run: RunDir, wave: int) -> int:
    """Raises ``StorageError``."""
    return len(shard_sizes(run, wave))


def advance(run: RunDir, wave: int, scheduler: Scheduler, memory: Memory) -> WaveState:
    """Submit what is missing of a wave, unless it is under way.

    Raises ``SchedulerError`` when going on is no use, ``StorageError``.
    """
    # Before the disk is looked at: what had ended then has left its result by now.
    attempts = [attempt for attempt in scheduler.attempts() if attempt.wave == wave]
    finished = run.finished_shards(wave)
    shards = shards_of(run, wave)
    running = [attempt for attempt in attempts if attempt.state is AttemptState.RUNNING]
    ledger = read_ledger(run, wave)
    books = Books(run, wave, ledger, memory.patience, lambda shard: shard_sizes(run, wave)[shard])
    books.update(attempts, finished)
    if books.changed:
        write_ledger(run, wave, ledger)
    if len(finished) >= shards:
        memory.complete.add(wave)
        return WaveState(shards, frozenset(finished), len(running), tuple(books.news))
    if books.stop is not None:
        raise SchedulerError(_given_up(run, wave, books.stop))
    for shard, failures in books.again.items():
        wait_s = memory.patience.backoff_s * 2 ** (failures - 1)
        memory.not_before[wave, shard] = time.monotonic() + wait_s
    news = books.news + _abandon_silent(run, running, finished, scheduler, memory)
    taken = {attempt.shard for attempt in attempts if attempt.state is not AttemptState.ENDED}
    now = time.monotonic()
    missing = [
        shard
        for shard in range(shards)
        if shard not in finished
        and shard not in taken
        and memory.not_before.get((wave, shard), now) <= now
    ]
    if missing:
        _lay_portions(run, wave, missing, ledger)
        scheduler.submit(run, wave, missing, exclude=ledger.excluded)
    return WaveState(shards, frozenset(finished), len(running), tuple(news))


def take_back_votes(run: RunDir) -> None:
    """A result that was voted on is made again: all votes are to be taken anew, and the run is
    not complete.  Raises ``StorageError``."""
    for wave in run.waves():
        ledger = read_ledger(run, wave)
        if ledger.votes_kept:
            ledger.votes_kept = False
            write_ledger(run, wave, ledger)
    for path in (run.summary, run.votes):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"can't remove {path}: {error.strerror}") from error


def _abandon_silent(
    run: RunDir,
    running: list[Attempt],
    finished: Set[int],
    scheduler: Scheduler,
    memory: Memory,
) -> list[str]:
    """Give up the workers that say nothing; at the next step their shards are missing."""
    silent = memory.pulse.silent(run, [one for one in running if one.shard not in finished])
    if silent:
        scheduler.abandon([attempt.id for attempt in silent])
    return [
        f"The worker of shard {attempt.shard} on {attempt.node or 'an unknown node'} has said "
        "nothing for too long: it is taken for lost, and the shard runs again"
        for attempt in silent
    ]


def _lay_portions(run: RunDir, wave: int, shards: list[int], ledger: Ledger) -> None:
    """Say on the disk what the next workers may run; mostly there is nothing to say."""
    laid = run.troubled_shards(wave)
    for shard in shards:
        record = ledger.shards.get(shard)
        if record is not None and record.search is not None:
            rows = shard_sizes(run, wave)[shard]
            write_portion(run, wave, shard, halving.portion(record.search, rows))
        elif shard in laid:
            remove_portion(run, wave, shard)


def _given_up(run: RunDir, wave: int, stop: Stop) -> str:
    log = run.log(wave, stop.shard)
    return (
        f"shard {stop.shard} of wave {wave} {stop.why}. The end of {log}:\n{_tail(log)}\n"
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
