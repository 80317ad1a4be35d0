"""The vote: one verdict for each candidate from its executions.

The rules:

* ``internal_error`` is ours and never counted: such executions are *unjudged*,
  all others *judged*.
* The **verdict** is the most frequent one among the judged executions.  Ties go
  to the verdict that comes first in ``TIE_ORDER``, where ``accepted`` is last:
  a tie is never resolved in the candidate's favour.  Without a judged
  execution there is no verdict: the candidate is unjudged.
* **agreement** is the verdict's share of the judged executions, with its 95 %
  Wilson interval.  There is **consensus** when it reaches the threshold.
* A candidate is **accepted** when its verdict is ``accepted`` and there is
  consensus; **flaky** when its judged executions disagree.
* **environments_agree**: the environments that judged it have, each taken by
  itself and by the same rules, the same verdict.  Null where fewer than two did.
* Rounds that were left out because they couldn't have changed verdict or
  consensus are not missing: shares are taken of what was judged.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.model import Verdict
from hpc_runner.results.files import table_writer
from hpc_runner.results.schema import VOTES
from hpc_runner.results.sequential import boundary
from hpc_runner.results.statistics import wilson
from hpc_runner.results.vote_queries import TIE_ORDER
from hpc_runner.results.voting import vote_on, voted
from hpc_runner.rundir import RunDir

__all__ = [
    "TIE_ORDER",
    "Outcome",
    "Tally",
    "certain_executions",
    "last_vote",
    "outcome",
    "vote",
    "votes_of",
]

_PLACE = {verdict: place for place, verdict in enumerate(TIE_ORDER)}
_UNLIKE = ("candidate_id", "wall_s", "cpu_s", "peak_memory_bytes")


@dataclass(frozen=True)
class Outcome:
    """What the vote says of one candidate; names as in ``schema.VOTES``."""

    verdict: Verdict | None
    accepted: bool
    consensus: bool
    flaky: bool
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    judged: int
    unjudged: int


def outcome(verdicts: Mapping[Verdict, int], threshold: float) -> Outcome:
    """The vote on one candidate, from how often each verdict occurred."""
    counts = {verdict: verdicts.get(verdict, 0) for verdict in TIE_ORDER}
    judged, unjudged = sum(counts.values()), verdicts.get(Verdict.INTERNAL_ERROR, 0)
    if not judged:
        return Outcome(None, False, False, False, None, None, None, 0, unjudged)
    verdict = _leader(counts)
    agreement = counts[verdict] / judged
    low, high = wilson(counts[verdict], judged)
    consensus = agreement >= threshold
    return Outcome(
        verdict=verdict,
        accepted=consensus and verdict is Verdict.ACCEPTED,
        consensus=consensus,
        flaky=counts[verdict] < judged,
        agreement=agreement,
        agreement_low=low,
        agreement_high=high,
        judged=judged,
        unjudged=unjudged,
    )


class Tally:
    """Counts the executions of one candidate and knows when the rest can't matter.

    ``planned`` is the number of executions (rounds x environments) that the
    candidate gets at most.  With an ``error_rate`` it also knows when the rest
    hardly ever matters (sequential.py).
    """

    def __init__(self, planned: int, threshold: float, error_rate: float | None = None) -> None:
        self._left = self._planned = planned
        self._threshold = threshold
        self._bounds = boundary(planned, threshold, error_rate) if error_rate else None
        self._counts = dict.fromkeys(TIE_ORDER, 0)

    def add(self, verdict: Verdict) -> None:
        """Count one execution, for good: an ``internal_error`` that is tried again is not added."""
        self._left -= 1
        if verdict is not Verdict.INTERNAL_ERROR:
            self._counts[verdict] += 1

    def decided(self) -> bool:
        """No outcome of the executions still to come, unjudged ones included, could change
        verdict or consensus; or the sequential test says that it may stop."""
        left, counts = max(0, self._left), self._counts
        judged = sum(counts.values())
        if not left or not judged:
            return not left
        leader = _leader(counts)
        # The test's arithmetic is that of candidates without unjudged executions.
        whole = judged + left == self._planned
        if self._bounds and whole and judged - counts[leader] <= self._bounds[judged]:
            return True
        for verdict, count in counts.items():
            if verdict is not leader and _leader({**counts, verdict: count + left}) is verdict:
                return False
        worst = counts[leader] / (judged + left) >= self._threshold
        best = (counts[leader] + left) / (judged + left) >= self._threshold
        return worst == best


@functools.lru_cache
def certain_executions(
    rounds: int, environments: int, threshold: float, error_rate: float | None = None
) -> int:
    """How many executions every candidate gets, whatever their verdicts: they can be queued
    at once.  The fewest after which an outcome can be decided, and one in each environment."""
    planned = rounds * environments
    same, mixed = (Tally(planned, threshold, error_rate) for _ in range(2))
    for count in range(1, planned):
        same.add(Verdict.ACCEPTED)
        mixed.add(TIE_ORDER[(count - 1) % len(TIE_ORDER)])
        if count >= environments and (same.decided() or mixed.decided()):
            return count
    return planned


def vote(
    run: RunDir,
    wave: int,
    threshold: float,
    *,
    rounds: int = 1 << 15,
    memory_bytes: int = 512 << 20,
    chunk_rows: int = 1_000_000,
) -> None:
    """Vote on all candidates of ``wave`` and write ``votes.parquet`` anew, atomically.

    Executions of round ``rounds`` and later were made to find the cause of a disagreement:
    they are no part of the vote.
    Votes of other waves that stand in it are kept.  Rows are ordered by wave,
    then as in ``candidates.parquet``; what the cache knew comes after wave 0.
    Candidates without a result (a shard that is not finished) come out unjudged
    with ``judged = unjudged = 0``.
    Memory is bounded: shards are voted on in chunks of about ``chunk_rows`` results, two at a
    time; ``memory_bytes`` is what the database may use of it.  Raises ``StorageError``.
    """
    with table_writer(run.votes, VOTES, unlike=_UNLIKE) as write:
        for table in _other_waves(run, 0, wave):
            write(table)
        for votes in voted(run, wave, threshold, rounds, memory_bytes, chunk_rows):
            write(votes)
        for table in _known_before(run) if wave == 0 else ():
            write(table)
        for table in _other_waves(run, wave + 1, 1 << 15):
            write(table)


def votes_of(
    run: RunDir,
    wave: int,
    shards: Sequence[int],
    threshold: float,
    rounds: int,
    memory_limit: str = "512MB",
) -> pa.Table:
    """The votes on the candidates of some finished shards, as ``vote`` will take them.

    Raises ``StorageError``.
    """
    wanted = set(shards)
    files = [path for held, path in run.result_files(wave) if not wanted.isdisjoint(held)]
    return vote_on(run, wave, shards, files, threshold, rounds, memory_limit)


def last_vote(run: RunDir) -> int:
    """The last wave that ``votes.parquet`` holds votes of, -1 if none.  Raises ``StorageError``."""
    if not run.votes.exists():
        return -1
    with _open_votes(run) as file:
        column = file.schema_arrow.get_field_index("wave")
        groups = (file.metadata.row_group(n) for n in range(file.num_row_groups))
        found = (group.column(column).statistics for group in groups)
        return max((int(one.max) for one in found if one and one.max is not None), default=-1)


def _leader(counts: Mapping[Verdict, int]) -> Verdict:
    return min(counts, key=lambda verdict: (-counts[verdict], _PLACE[verdict]))


def _other_waves(run: RunDir, first: int, end: int) -> Iterator[pa.Table]:
    """What ``votes.parquet`` says of waves in [first, end), piece by piece."""
    if not run.votes.exists():
        return
    with _open_votes(run) as file:
        for batch in file.iter_batches(65_536):
            table = pa.Table.from_batches([batch])
            table = table.filter((pc.field("wave") >= first) & (pc.field("wave") < end))
            if table.num_rows:
                yield table


@contextmanager
def _open_votes(run: RunDir) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(run.votes, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{run.votes}: can't be read: {error}; remove it and resume the run to vote again"
        ) from error


def _known_before(run: RunDir) -> Iterator[pa.Table]:
    """What the result cache knew when the run was planned."""
    if not run.cached_votes.exists():
        return
    try:
        with pq.ParquetFile(run.cached_votes, page_checksum_verification=True) as file:
            for batch in file.iter_batches(65_536):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{run.cached_votes}: can't be read: {error}") from error
