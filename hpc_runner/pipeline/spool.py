"""What a plan has read of a corpus, on the disk.

Memory doesn't grow with the programs: their records are compressed one after the other
into ``spool``, and what is small (identifiers and positions) goes to ``spooled.parquet``,
on which DuckDB, which spills, works.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.config import RunConfig
from hpc_runner.corpus.policy import given_environment
from hpc_runner.corpus.readers import Sample
from hpc_runner.errors import RowError
from hpc_runner.model import Candidate
from hpc_runner.pipeline.sizing import execution_s
from hpc_runner.results.cache_key import content
from hpc_runner.results.candidates import Row
from hpc_runner.results.files import table_writer
from hpc_runner.results.schema import REJECTED, SAMPLES
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.dependencies import distinct

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Read", "Spool", "database_memory", "gather", "rows_writer"]

SHARD_BYTES = 32 << 20
"""A shard ends early when its programs and tests reach this size; a worker holds one shard."""

_BATCH = 4096
_AT_A_TIME = 4_000_000
"""Rows that DuckDB groups at a time: more has no room in the memory that it gets."""
_CODEC = pa.Codec("zstd", 1)
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("row", pa.int64()),
    ("file", pa.string()),
    ("file_row", pa.int64()),
    ("task_id", pa.string()),
    ("candidate_id", pa.binary(32)),
    ("parent", pa.binary(32)),
    ("offset", pa.int64()),  # of its compressed record in the spool
    ("stored_bytes", pa.int64()),
    ("bytes", pa.int64()),
    ("content", pa.binary(32)),  # of cache_key; null without a cache
    ("requirements", pa.string()),  # JSON of dependencies.distinct; null where there are none
    ("expected_s", pa.float64()),  # of an execution
]
_SPOOLED = pa.schema(_COLUMNS)


def database_memory(rows: int) -> str:
    """What DuckDB gets for so many rows: joins that spill need more where there is more."""
    return f"{512 + rows * 24 // 2**20}MB"


@dataclass
class Read:
    """What came of a corpus."""

    samples: int = 0
    rejected: int = 0
    first: RowError | None = None


class Spool:
    """The programs of one corpus under ``run.planning``.

    ``seen`` is called with every candidate that is taken.
    """

    def __init__(self, run: RunDir, config: RunConfig, seen: Callable[[Candidate], None]) -> None:
        self._run = run
        self._config = config
        self._seen = seen
        self.records = run.planning / "spool"
        self.table = run.planning / "spooled.parquet"

    def read(self, corpus: Iterable[Sample | RowError]) -> Read:
        """Take all samples.  Raises the first bad row with ``config.strict``."""
        self._run.planning.mkdir(parents=True, exist_ok=True)
        read, offset = Read(), 0
        with (
            self.records.open("wb") as spool,
            rows_writer(self.table, _SPOOLED) as add,
            rows_writer(self._run.rejected, REJECTED) as reject,
        ):
            for item in corpus:
                kept = item if isinstance(item, RowError) else _recorded(item)
                if isinstance(kept, RowError):
                    if self._config.strict:
                        raise kept
                    read.rejected += 1
                    read.first = read.first or kept
                    reject((kept.file, kept.row, kept.key, kept.reason))
                    continue
                sample, record = kept
                stored = _CODEC.compress(record, asbytes=True)
                spool.write(stored)
                where = (offset, len(stored), len(record))
                add((read.samples, *self._identity(sample, read.samples), *where,
                     *self._for_the_cache(sample.candidate),
                     execution_s(sample.candidate)))  # fmt: skip
                self._seen(sample.candidate)
                offset += len(stored)
                read.samples += 1
                if read.samples == self._config.limit:
                    break
        return read

    def order(self, database: DuckDBPyConnection, *, slow_first: bool) -> tuple[int, float]:
        """Make the table ``firsts``, of the first sample of each candidate; how many there are,
        and how many seconds one execution of each takes, as far as can be guessed.

        Its column ``place`` is the order of the plan: the first candidate of each task,
        then the second of each, and so on; with ``slow_first`` first those that take long.
        """
        slowness = "-floor(log2(expected_s))" if slow_first else "0"
        # What is grouped and sorted is narrow, and no more of it at a time than has room.
        of_candidate = self._scattered(
            database,
            """
            SELECT row, candidate_id, hash(task_id) AS task, expected_s, hash(candidate_id) AS hash
            FROM read_parquet($1)
            """,
            [str(self.table)],
        )
        database.execute("CREATE TABLE first (row BIGINT, task UBIGINT, expected_s DOUBLE)")
        for part in of_candidate:
            database.execute(
                """
                INSERT INTO first SELECT min(row), arg_min(task, row), arg_min(expected_s, row)
                FROM read_parquet($1) GROUP BY candidate_id
                """,
                [part],
            )
        of_task = self._scattered(
            database, "SELECT row, task, expected_s, task // 65536 AS hash FROM first"
        )
        database.execute("CREATE TABLE turns (row BIGINT, expected_s DOUBLE, turn BIGINT)")
        for part in of_task:
            database.execute(
                """
                INSERT INTO turns
                SELECT row, expected_s, row_number() OVER (PARTITION BY task ORDER BY row)
                FROM read_parquet($1)
                """,
                [part],
            )
        database.execute(
            f"""
            CREATE TABLE places AS
            SELECT row, row_number() OVER (ORDER BY {slowness}, turn, row) AS place FROM turns
            """
        )
        database.execute(
            """
            CREATE TABLE firsts AS SELECT s.* EXCLUDE (file, file_row), place
            FROM read_parquet($1) s JOIN places USING (row)
            """,
            [str(self.table)],
        )
        database.execute("DROP TABLE first; DROP TABLE turns; DROP TABLE places")
        query = "SELECT count(*), coalesce(sum(expected_s), 0) FROM firsts"
        candidates, seconds = database.execute(query).fetchall()[0]
        return int(candidates), float(seconds)

    def number_samples(self, database: DuckDBPyConnection) -> None:
        """Write ``samples.parquet``."""
        of_task = self._scattered(
            database,
            "SELECT row, task_id, hash(task_id) AS hash FROM read_parquet($1)",
            [str(self.table)],
        )
        database.execute("CREATE TABLE numbered (row BIGINT, sample BIGINT)")
        for part in of_task:
            database.execute(
                """
                INSERT INTO numbered
                SELECT row, row_number() OVER (PARTITION BY task_id ORDER BY row) - 1
                FROM read_parquet($1)
                """,
                [part],
            )
        database.execute(
            """
            SELECT row, file, file_row, task_id, sample, candidate_id
            FROM read_parquet($1) JOIN numbered USING (row) ORDER BY row
            """,
            [str(self.table)],
        )
        with rows_writer(self._run.samples, SAMPLES) as add:
            for row in _fetched(database):
                add(row)

    def _scattered(
        self, database: DuckDBPyConnection, query: str, values: Sequence[object] = ()
    ) -> Iterator[list[str]]:
        """What ``query`` gives, in parts: Parquet files of each, gone when the next is asked for.
        Rows with the same ``hash`` are in one part."""
        parts = -(-pq.read_metadata(self.table).num_rows // _AT_A_TIME)
        where = self._run.planning / "scattered"
        database.execute(
            f"""
            COPY (SELECT * EXCLUDE (hash), hash % {parts} AS part FROM ({query}))
            TO '{str(where).replace("'", "''")}'
            (FORMAT parquet, PARTITION_BY (part), ROW_GROUP_SIZE 20480)
            """,
            list(values),
        )
        for part in sorted(where.iterdir()):
            yield [str(path) for path in part.iterdir()]
            shutil.rmtree(part)
        where.rmdir()

    def _identity(self, sample: Sample, row: int) -> tuple[Any, ...]:
        candidate = sample.candidate
        identity = candidate.candidate_id
        if not self._config.dedup:
            identity = hashlib.sha256(identity + row.to_bytes(8, "big")).digest()
        return sample.file, sample.file_row, candidate.task_id, identity, candidate.parent

    def _for_the_cache(self, candidate: Candidate) -> tuple[bytes | None, str | None]:
        if self._config.cache.directory is None:
            return None, None
        known = content(candidate, given_environment(candidate, self._config.policy))
        wanted = distinct(candidate.dependencies)
        return known, json.dumps(wanted) if wanted else None


def gather(
    database: DuckDBPyConnection,
    query: str,
    spool: IO[bytes],
    full: Callable[[int, Candidate], bool],
) -> Iterator[tuple[list[Row], dict[bytes, bytes]]]:
    """The rows of each shard, and the cache's keys of its candidates.

    ``full`` is asked with each candidate, and how many the shard has with it, whether it ends.

    ``query`` gives candidate_id, row, parent, offset, stored_bytes, bytes and key.
    """
    database.execute(query)
    rows: list[Row] = []
    keys: dict[bytes, bytes] = {}
    held = 0
    for identity, row, parent, offset, stored_bytes, record_bytes, key in _fetched(database):
        spool.seek(offset)
        stored = spool.read(stored_bytes)
        record = json.loads(_CODEC.decompress(stored, record_bytes, asbytes=True))
        candidate = Candidate(**record, parent=parent)
        rows.append((identity, row, candidate))
        if key is not None:
            keys[identity] = key
        held += record_bytes
        if full(len(rows), candidate) or held >= SHARD_BYTES:
            yield rows, keys
            rows, keys, held = [], {}, 0
    if rows:
        yield rows, keys


@contextmanager
def rows_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """Write rows as they come, a batch at a time."""
    rows: list[tuple[Any, ...]] = []
    with table_writer(path, schema) as write:

        def flush() -> None:
            if rows:
                columns = [list(column) for column in zip(*rows, strict=True)]
                write(pa.table(columns, schema=schema))
                rows.clear()

        def add(row: tuple[Any, ...]) -> None:
            rows.append(row)
            if len(rows) == _BATCH:
                flush()

        yield add
        flush()


def _recorded(sample: Sample) -> tuple[Sample, bytes] | RowError:
    content = sample.candidate.model_dump(mode="json", exclude={"parent"})
    try:
        return sample, json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        found = f"{error.object[error.start]!a} is half a character (a lone surrogate)"
        return RowError(sample.file, sample.file_row, "code", f"{found}, which can't be stored")


def _fetched(database: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := database.fetchmany(_BATCH):
        yield from rows
