"""The vote on the shards of a wave, some of them at a time: bounded memory, all CPUs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.model import Verdict
from hpc_runner.results.alike import COLUMNS, FOUND, part
from hpc_runner.results.candidates import read_columns, shard_sizes
from hpc_runner.results.query import connect
from hpc_runner.results.reliability import EXPLAINED, Reliability
from hpc_runner.results.schema import RESULTS, VOTES
from hpc_runner.results.statistics import Z, wilson
from hpc_runner.results.vote_queries import MIXED, TIE_ORDER, VOTES_OF
from hpc_runner.rundir import RunDir

__all__ = ["vote_on", "voted"]

pc: Any = pyarrow.compute  # its stubs know too little of what kernels take

_ROWS = 200_000
_AT_A_TIME = 2  # chunks, of which each may take a quarter of a gigabyte


def voted(
    run: RunDir, wave: int, threshold: float, rounds: int, memory_bytes: int, chunk_rows: int
) -> Iterator[pa.Table]:
    """The votes on all candidates of a wave, piece by piece in their order; while the caller
    writes one piece, the next ones are voted on.  As ``vote``."""
    workers = min(_AT_A_TIME, len(os.sched_getaffinity(0)))
    limit = f"{memory_bytes // workers} bytes"
    waiting: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for shards, files in _chunks(run, wave, chunk_rows):
                given = (run, wave, shards, files, threshold, rounds, limit)
                waiting.append(pool.submit(vote_on, *given))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _chunks(run: RunDir, wave: int, chunk_rows: int) -> Iterator[tuple[range, list[Path]]]:
    """Consecutive shards with about ``chunk_rows`` results (or candidates) together, and the
    files that hold what is finished of them; a file is never in two chunks."""
    first, end, rows = 0, 0, 0
    files: list[Path] = []
    for shards, path, size in _sized(run, wave):
        if rows and rows + size > chunk_rows:
            yield range(first, end), files
            first, rows, files = end, 0, []
        end, rows = shards.stop, rows + size
        files += [path] if path else []
    if rows:
        yield range(first, end), files


def _sized(run: RunDir, wave: int) -> Iterator[tuple[range, Path | None, int]]:
    """All shards in order, those of a file together, with their results or candidates."""
    sizes = shard_sizes(run, wave)
    files = {shards.start: (shards, path) for shards, path in run.result_files(wave)}
    shard = 0
    try:
        while shard < len(sizes):
            shards, path = files.get(shard, (range(shard, shard + 1), None))
            size = sum(sizes[shards.start : shards.stop])
            if path is not None:
                with pq.ParquetFile(path) as file:
                    size = max(size, file.metadata.num_rows)
            yield shards, path, size
            shard = shards.stop
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"{run.wave(wave)}: a Parquet file can't be read: {error}. A damaged one under results/"
            " can be removed: `hpc-runner resume` makes it again"
        ) from error


_COLUMNS = ["candidate_id", "task_id", "generation"]


_OWN = pa.schema([field for field in VOTES if field.name not in (*_COLUMNS, "wave")])
"""What a vote says beside whose it is."""


def vote_on(
    run: RunDir,
    wave: int,
    shards: Sequence[int],
    files: list[Path],
    threshold: float,
    rounds: int,
    memory_limit: str,
) -> pa.Table:
    candidates = read_columns(run.candidates(wave), shards, _COLUMNS)
    ids = candidates["candidate_id"]
    alike, results = _parted(run, wave, files, rounds)
    place = pc.index_in(ids, alike["candidate_id"].combine_chunks())
    own = _unanimous(alike, threshold)
    if place.null_count:
        others = candidates.filter(place.is_null())
        votes = _disputed(run, wave, others, results, threshold, rounds, memory_limit)
        found = pc.index_in(ids, votes["candidate_id"].combine_chunks())
        place = pc.coalesce(place, pc.add(found, alike.num_rows))
        both = [own, votes.select(_OWN.names).cast(_OWN)]
        own = pa.concat_tables(both).unify_dictionaries()
    own = own.take(place)
    whose: dict[str, Any] = {name: candidates[name] for name in _COLUMNS}
    whose["wave"] = pa.repeat(pa.scalar(wave, pa.int16()), len(ids))
    columns = [whose[name] if name in whose else own[name] for name in VOTES.names]
    return pa.table(columns, names=VOTES.names)


def _parted(run: RunDir, wave: int, files: list[Path], rounds: int) -> tuple[pa.Table, pa.Table]:
    """``alike.part`` of all the files together."""

    alike, rest = [FOUND.empty_table()], [_NEEDED.empty_table()]
    try:
        for rows in _read(files):
            found, others = part(rows, rounds)
            alike.append(found)
            rest.append(others)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StorageError(
            f"{run.wave(wave)}: a Parquet file can't be read: {error}. A damaged one under results/"
            " can be removed: `hpc-runner resume` makes it again"
        ) from error
    alike_, rest_ = (pa.concat_tables(tables).unify_dictionaries() for tables in (alike, rest))
    return alike_, rest_


def _read(files: list[Path]) -> Iterator[pa.Table]:
    """Their rows, so many together that kernels have something to do; no file is divided."""
    gathered: list[pa.Table] = []
    count = 0
    for path in files:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            gathered.append(file.read(columns=COLUMNS, use_threads=False).cast(_NEEDED))
        count += gathered[-1].num_rows
        if count >= _ROWS:
            yield pa.concat_tables(gathered)
            gathered, count = [], 0
    if gathered:
        yield pa.concat_tables(gathered)


_NEEDED = pa.schema([RESULTS.field(name) for name in COLUMNS])


def _unanimous(alike: pa.Table, threshold: float) -> pa.Table:
    """The votes (``_OWN``) on candidates whose executions are alike."""
    size, count = alike["n"].combine_chunks(), alike.num_rows
    known: list[Any] = pc.unique(size).to_pylist()
    by_size = pc.index_in(size, pa.array(known, pa.int32()))

    def of_size(value: Callable[[int], float]) -> Any:
        return pa.array([value(n) for n in known], pa.float64()).take(by_size)

    def all_(value: Any) -> Any:
        return pa.repeat(value, count)

    several = pc.greater(alike["environments"], 1)
    agree = threshold <= 1
    accepted = pc.equal(alike["verdict"].cast(pa.string()), Verdict.ACCEPTED.value)
    given = {
        "accepted": pc.and_(accepted, agree),
        "consensus": all_(agree),
        "flaky": all_(False),
        "agreement": all_(1.0),
        "agreement_low": of_size(lambda n: wilson(n, n)[0]),
        "agreement_high": all_(1.0),
        "judged": size,
        "unjudged": all_(0),
        "environments_agree": pc.if_else(several, True, pa.scalar(None, pa.bool_())),
        "reliability": all_(Reliability.STABLE.value),
        "cause": pa.nulls(count, pa.string()),
        "validation_score": pc.round(alike["score"], 9),
        "confidence_level": of_size(lambda n: 1 - 0.5 ** (n + 1)),
    }
    columns = [given[name] if name in given else alike[name] for name in _OWN.names]
    return pa.table(columns, names=_OWN.names).cast(_OWN)


def _disputed(
    run: RunDir,
    wave: int,
    candidates: pa.Table,
    results: pa.Table,
    threshold: float,
    rounds: int,
    memory_limit: str,
) -> pa.Table:
    """The votes on all other candidates, in no order."""
    rules = {"tie_order": [verdict.value for verdict in TIE_ORDER], "rounds": rounds}
    with connect(run, memory_limit=memory_limit) as connection:
        connection.execute("SET threads = 1")  # another chunk has the other one
        connection.register("candidates", candidates)
        connection.register("results", results)
        connection.execute(MIXED, rules)
        connection.execute(EXPLAINED)
        told = {"threshold": threshold, "wave": wave, "z2": Z * Z}
        votes: pa.Table = connection.sql(VOTES_OF, params=told).to_arrow_table()
    return votes
