"""What an attempt that ended without a result means, and what follows from it.

A worker that failed or died counts against its shard and its node.  After
``Patience.failures`` of them the shard's candidates are suspected, and the
search of halving.py begins.  A node on which several shards failed that fail
nowhere else, and hardly any others do, gets no more work, and its failures are
taken back.  What was
stopped, preempted, lost or out of time counts against nobody, unless it goes on
without getting anything done.

Some failures stop the run, because trying again would waste what is left:

* a worker says that the user has to mend something;
* whatever part of a shard is run, its worker fails;
* nothing was ever judged, and several shards or candidates have been given up;
* ``BARREN`` failures in a row, all over the wave, with nothing done in between.

What led there is forgotten then, so that a resumed run tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from hpc_runner.pipeline import halving
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause
from hpc_runner.results.heartbeat import read_heartbeat
from hpc_runner.results.ledger import Failure, Killer, Ledger, ShardRecord
from hpc_runner.results.portion import is_done
from hpc_runner.rundir import RunDir

__all__ = ["BARREN", "Books", "Patience", "Stop"]

BARREN = 60
ALIKE = 8
"""So many killers in a shard of which nothing ran well: then it isn't the candidates."""
SEVERAL = 3
_FRUITLESS = {Cause.TIMEOUT: 1, Cause.LOST: 2, Cause.DONE: 2}
"""Cause → so many in a row that got no further than the one before count as a failure."""
_REMEMBERED = 100  # failures of a node


@dataclass(frozen=True)
class Patience:
    """How long the coordinator waits, and how often it tries."""

    failures: int = 3
    """Of a shard's workers, before its candidates are suspected."""
    backoff_s: float = 0.5
    """Before a shard that failed is tried again; twice as long each time."""
    silent_s: float = 180.0
    """Without a heartbeat: then a worker that should be running is lost."""
    first_word_s: float = 600.0
    """The same before its first heartbeat: images are fetched, file systems are cold."""


@dataclass(frozen=True)
class Stop:
    """Why the run can't go on."""

    shard: int
    """The one that brought it to light."""
    why: str
    """Goes on from "shard N of wave N"."""


class Books:
    """Bring a wave's ledger up to date; used once, for one look at disk and scheduler.

    ``rows`` tells how many candidates a shard has.
    """

    def __init__(
        self, run: RunDir, wave: int, ledger: Ledger, patience: Patience, rows: Callable[[int], int]
    ) -> None:
        self._run, self._wave, self._ledger = run, wave, ledger
        self._patience = patience
        self._rows = rows
        self.changed = False
        """The ledger has to be written before anything follows from it."""
        self.news: list[str] = []
        """Lines for people."""
        self.again: dict[int, int] = {}
        """Shard → how often in a row it has failed, of those that fail now."""
        self.stop: Stop | None = None
        self._failed: dict[int, None] = {}  # shards, in order

    def update(self, attempts: Sequence[Attempt], finished: Set[int]) -> None:
        """``attempts`` must have been asked for before ``finished`` was looked at."""
        self._settle(finished)
        alive = {attempt.shard for attempt in attempts if attempt.state is not AttemptState.ENDED}
        ended: dict[int, list[Attempt]] = {shard: [] for shard in self._searched() - alive}
        for attempt in attempts:
            if attempt.state is AttemptState.ENDED and attempt.shard not in finished:
                ended.setdefault(attempt.shard, []).append(attempt)
        for shard, found in ended.items():
            self._note(shard, found, shard in alive)
        self._exclude(attempts)
        for shard in self._failed:
            self._escalate(shard)
        self._look_for_an_end(attempts, finished)

    def _searched(self) -> set[int]:
        return {shard for shard, record in self._ledger.shards.items() if record.search}

    def _settle(self, finished: Set[int]) -> None:
        """What is finished needs no record, but for the candidates that were given up."""
        ledger = self._ledger
        if len(finished) > ledger.finished:
            ledger.barren = 0
        for shard in sorted(ledger.shards.keys() & finished):
            search = ledger.shards.pop(shard).search
            for row, reason in search.killers.items() if search else ():
                ledger.killers.append(Killer(shard=shard, row=row, reason=reason))
            self.changed = True
        ledger.finished = len(finished)

    def _note(self, shard: int, ended: list[Attempt], alive: bool) -> None:
        ledger = self._ledger
        record = ledger.shards.get(shard)
        counted = set(record.counted) if record else ()
        fresh = [attempt for attempt in ended if attempt.id not in counted]
        search = record.search if record else None
        done = search and not alive and is_done(self._run, self._wave, shard, search.name)
        if not fresh and not done:
            return
        record = record or ShardRecord()
        ledger.shards[shard] = record
        record.counted += [attempt.id for attempt in fresh]
        self.changed = True
        if search and done:
            record.search, record.failures = halving.passed(search), []
            ledger.barren = 0
            return
        for attempt in fresh:
            if attempt.cause is Cause.MISTAKE:
                self.stop = Stop(shard, f"failed once: {attempt.detail}")
            elif self._counts(record, attempt):
                self._fail(record, attempt)

    def _counts(self, record: ShardRecord, attempt: Attempt) -> bool:
        cause = attempt.cause
        if cause is Cause.FAILED or (cause is Cause.DONE and not record.search):
            return True
        if cause is None or cause not in _FRUITLESS:
            return False
        heartbeat = read_heartbeat(self._run, self._wave, attempt.shard)
        done = heartbeat.done if heartbeat else 0
        record.fruitless = 0 if done > record.done else record.fruitless + 1
        record.done = max(done, record.done)
        return record.fruitless >= _FRUITLESS[cause]

    def _fail(self, record: ShardRecord, attempt: Attempt) -> None:
        detail, node = attempt.detail, attempt.node
        if attempt.cause is Cause.DONE:
            detail += ", but left no result file"
        record.failures.append(
            Failure(attempt=attempt.id, detail=detail, node=node, at=datetime.now(UTC))
        )
        self._ledger.barren += 1
        self._failed[attempt.shard] = None
        if node is not None and record.search is None:
            shards = self._ledger.failed_on.setdefault(node, [])
            if len(shards) < _REMEMBERED:
                shards.append(attempt.shard)

    def _exclude(self, attempts: Sequence[Attempt]) -> None:
        """A node that fails what doesn't fail elsewhere gets no more work; never more than half
        of those that are known."""
        ledger = self._ledger
        node = self._bad_node()
        if node is None:
            return
        seen = {attempt.node for attempt in attempts if attempt.node} | ledger.failed_on.keys()
        works = {
            attempt.node
            for attempt in attempts
            if attempt.state is AttemptState.RUNNING or attempt.cause is Cause.DONE
        } - {None, node, *ledger.excluded}
        if not works or 2 * (len(ledger.excluded) + 1) > len(seen):
            return
        ledger.excluded.append(node)
        self.changed = True
        self.news.append(
            f"Node {node} gets no more work: {len(ledger.failed_on[node])} workers failed there "
            "that don't fail elsewhere"
        )
        for record in ledger.shards.values():
            record.failures = [one for one in record.failures if one.node != node]

    def _bad_node(self) -> str | None:
        """Where most of all failures were, of several shards, none of which failed elsewhere.

        Of a shard that is searched, the candidates are suspected, and no node.
        """
        ledger, searched = self._ledger, self._searched()
        failed = {
            node: [shard for shard in shards if shard not in searched]
            for node, shards in ledger.failed_on.items()
            if node not in ledger.excluded
        }
        worst = max(failed, key=lambda node: len(failed[node]), default="")
        here = failed.pop(worst, [])
        elsewhere = {shard for shards in failed.values() for shard in shards}
        several = len(here) >= SEVERAL and len(set(here)) > 1
        alone = SEVERAL * sum(map(len, failed.values())) <= len(here)
        return worst if several and alone and elsewhere.isdisjoint(here) else None

    def _escalate(self, shard: int) -> None:
        """Take the next step of the search when the shard has failed often enough."""
        record = self._ledger.shards.get(shard)
        if record is None or not record.failures:
            return
        failures, last, search = len(record.failures), record.failures[-1].detail, record.search
        if (search is None or not search.todo) and failures < self._patience.failures:
            self.again[shard] = failures
            return
        record.failures = []
        if search is None:
            record.search = halving.begin(self._rows(shard))
            self.news.append(
                f"Shard {shard} failed {failures} times, the last time {last}: "
                "looking for the candidate that does it"
            )
        elif search.todo:
            record.search = halving.failed(search, last)
            if len(record.search.killers) > len(search.killers):
                self.news.append(
                    f"Candidate {search.todo[0][0]} of shard {shard} is given up: "
                    f"it ran alone, and {last}"
                )
            if not search.passes and len(record.search.killers) > ALIKE:
                self._give_up(shard, f"fails whatever part of it is run, the last time {last}")
        else:
            self._give_up(
                shard, f"failed {failures} times with nothing left to run, the last time {last}"
            )

    def _give_up(self, shard: int, why: str) -> None:
        self.stop = self.stop or Stop(shard, why)
        self._ledger.shards[shard].search = None

    def _look_for_an_end(self, attempts: Sequence[Attempt], finished: Set[int]) -> None:
        """Would going on only waste what is left?"""
        ledger, searched = self._ledger, self._searched()
        if self.stop or not searched:
            return
        shards = ledger.shards
        killers = sum(len(found.killers) for one in searched if (found := shards[one].search))
        why = ""
        if not finished and (len(searched) >= SEVERAL or killers >= SEVERAL):
            if not self._anything_done(self._run.beating_shards(self._wave)):
                why = "is one of those that fail, and nothing else was judged yet"
        elif ledger.barren >= BARREN:
            running = (one.shard for one in attempts if one.state is AttemptState.RUNNING)
            if not self._anything_done(running):
                why = f"is one of those that fail: {BARREN} workers in a row, whatever they run"
        if why:
            self.stop = Stop(min(searched), why)
            for record in shards.values():
                record.search, record.failures = None, []
            ledger.barren = 0
            self.changed = True

    def _anything_done(self, shards: Iterable[int]) -> bool:
        heartbeats = (read_heartbeat(self._run, self._wave, shard) for shard in shards)
        return any(heartbeat and heartbeat.done for heartbeat in heartbeats)
