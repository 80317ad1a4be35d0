"""The result cache: votes of earlier runs, for candidates that need not run again.

    CACHE/entries/   segments of ``ENTRIES``
    CACHE/uses/      segments of ``USES``: which entries runs have found, and how many not
    CACHE/damaged/   segments that are not what their name says

Any number of processes on any number of machines read and write it (``segments``).  An
entry is believed when its segment is sound and no other entry of its key says otherwise.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hpc_runner.errors import StorageError
from hpc_runner.results.query import database, table_view
from hpc_runner.results.schema import VOTES
from hpc_runner.results.segments import Segments

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["ENTRIES", "Cache", "CacheStats", "Keep", "default_directory"]

JOIN_AT = 24
"""So many small segments are joined by whoever adds one more."""
SMALL_BYTES = 64 << 20
"""A segment that is larger is not rewritten for that."""

OF_THE_CANDIDATE = ("candidate_id", "task_id", "wave", "generation")
"""Columns of a vote that are not in an entry."""

_TIME = pa.timestamp("us", tz="UTC")


def _plain(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if isinstance(type_, pa.DictionaryType) else type_


_ENTRY_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.binary(32), False),
    pa.field("created_at", _TIME, False),
    pa.field("run_id", pa.string(), False),
    pa.field("isolation", pa.string(), False),  # the weakest level among the executions
    pa.field("source", pa.string(), False),  # the run's directory, where the program lies
    pa.field("source_wave", pa.int16(), False),
    pa.field("source_candidate", pa.binary(32), False),
    *(
        pa.field(field.name, _plain(field.type), field.nullable)
        for field in VOTES
        if field.name not in OF_THE_CANDIDATE
    ),
]
ENTRIES = pa.schema(_ENTRY_FIELDS)
"""An entry: a vote without what is the candidate's own."""

_USE_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.binary(32), False),
    pa.field("used_at", _TIME, False),
]
USES = pa.schema(_USE_FIELDS)


@dataclass(frozen=True)
class Keep:
    """What may stay in a cache; None is no limit."""

    seconds: float | None = None
    """Since an entry was made: older ones are not found any more."""
    bytes: int | None = None
    """Of the entries' files; what was used longest ago goes first."""
    entries: int | None = None


@dataclass(frozen=True)
class CacheStats:
    directory: str
    entries: int
    segments: int
    bytes: int
    hits: int
    misses: int
    evictions: int
    damaged: int
    """Segments that were set aside."""
    oldest_s: float | None
    """Age; None for a cache without entries."""
    newest_s: float | None

    @property
    def hit_rate(self) -> float | None:
        """None before anything was looked up."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None


def default_directory() -> Path:
    """$XDG_CACHE_HOME/hpc_runner/results, or ~/.cache instead."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hpc_runner" / "results"


class Cache:
    """The cache under ``directory``, which is made at the first write.

    ``readonly``: nothing is written, removed or set aside.  ``say`` gets a line for people
    when something is damaged.  Every method raises ``StorageError`` for a file system or a
    database that fails.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: Keep | None = None,
        readonly: bool = False,
        say: Callable[[str], None] = lambda _text: None,
        memory_limit: str = "512MB",
    ) -> None:
        self.directory = directory
        self.keep = keep or Keep()
        self.readonly = readonly
        self._memory_limit = memory_limit
        damaged = directory / "damaged"
        self._entries = Segments(
            directory / "entries", ENTRIES, damaged=damaged, say=say, readonly=readonly
        )
        self._uses = Segments(directory / "uses", USES, damaged=damaged, say=say, readonly=readonly)

    def lookup(self, wanted: Path, levels: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """What is known of the keys in a Parquet file, in its order.

        Gives the file's columns (among them ``key``) and those of ``ENTRIES``.  An entry is
        found if it is young enough and was made at one of the isolation ``levels``; none is
        if two of them disagree on the verdict.
        """
        names = [field.name for field in ENTRIES if field.name != "key"]
        packed = ", ".join(f"{name!r}: {name}" for name in names)
        found = ", ".join(f"known.entry.{name} AS {name}" for name in names)
        with self._database() as connection:
            relation = connection.sql(
                f"""
                WITH wanted AS (
                    SELECT * FROM read_parquet($wanted, file_row_number = true)
                ),
                known AS (
                    SELECT key, arg_max({{{packed}}}, created_at) AS entry
                    FROM segments SEMI JOIN wanted USING (key)
                    WHERE list_contains($levels, isolation) GROUP BY key
                    HAVING count(DISTINCT verdict) = 1 AND max(created_at) >= $since
                )
                SELECT wanted.* EXCLUDE (file_row_number), {found}
                FROM wanted JOIN known USING (key) ORDER BY file_row_number
                """,
                params={"wanted": str(wanted), "levels": list(levels), "since": self._since()},
            )
            yield from relation.to_arrow_reader(65_536)

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """Query the view ``entries``: the columns of ``ENTRIES``, ``last_used`` and ``bytes``."""
        with self._database() as connection:
            table: pa.Table = connection.sql(sql, params=parameters or {}).to_arrow_table()
        return table

    def stats(self) -> CacheStats:
        table = self.query(
            "SELECT count(DISTINCT key) AS entries, epoch(min(created_at)) AS oldest, "
            "epoch(max(created_at)) AS newest FROM segments"
        )
        found, now = table.to_pylist()[0], time.time()
        live = self._entries.live()
        return CacheStats(
            directory=str(self.directory),
            entries=found["entries"],
            segments=len(live),
            bytes=sum(_bytes(path) for path in live),
            **self._counts(),
            damaged=len(list((self.directory / "damaged").glob("*"))),
            oldest_s=None if found["oldest"] is None else max(0.0, now - found["oldest"]),
            newest_s=None if found["newest"] is None else max(0.0, now - found["newest"]),
        )

    def add(self, entries: pa.Table) -> None:
        """Add entries (columns of ``ENTRIES``), and keep to the limits."""
        if self.readonly or not entries.num_rows:
            return
        self._entries.write([entries.select(ENTRIES.names).sort_by("key")])
        small = [path for path in self._entries.live() if _bytes(path) < SMALL_BYTES]
        if len(small) >= JOIN_AT:
            self._join(small)
        if self._exceeds():
            self.prune()
        self._entries.sweep()

    def used(self, keys: pa.Table, misses: int) -> None:
        """Record that a look found these (column ``key``), and nothing for ``misses`` others."""
        if self.readonly or not (keys.num_rows or misses):
            return
        now = pa.array([datetime.now(UTC)] * keys.num_rows, _TIME)
        rows = pa.table([keys["key"], now], schema=USES)
        self._uses.write([rows], {"hits": keys.num_rows, "misses": misses})
        if len(live := self._uses.live()) >= JOIN_AT:
            with self._database() as connection:
                rows = connection.sql(
                    "SELECT key, max(used_at) AS used_at FROM uses GROUP BY key"
                ).to_arrow_table()
            self._uses.write([rows], self._counts(live), replaces=live)
        self._uses.sweep()

    def prune(self) -> int:
        """Remove what ``keep`` doesn't keep; how many entries went."""
        live = self._entries.live()
        before = self.stats().entries
        most = self.keep.entries if self.keep.entries is not None else before
        if self.keep.bytes is not None and (size := sum(_bytes(path) for path in live)):
            most = min(most, int(before * self.keep.bytes / size))
        # By key: of two that contradict each other none may be left alone.
        young = "max(created_at) OVER (PARTITION BY key) >= $since"
        recent = "dense_rank() OVER (ORDER BY key_used DESC, key) <= $most"
        limits = {"since": self._since(), "most": most}
        self._join(live, f"true QUALIFY {young} AND {recent}", limits)
        gone = before - self.stats().entries
        if gone:
            self._uses.write([], {"evictions": gone})
        self._entries.sweep()
        self._uses.sweep()
        return gone

    def forget(self, keys: Sequence[bytes]) -> None:
        """Remove entries that turned out to be wrong."""
        self._join(
            self._entries.live(), "NOT list_contains($keys::BLOB[], key)", {"keys": list(keys)}
        )

    def clear(self) -> None:
        self._entries.clear()
        self._uses.clear()
        for path in (self.directory / "damaged").glob("*"):
            path.unlink(missing_ok=True)

    def _join(
        self, live: list[Path], condition: str = "true", parameters: dict[str, Any] | None = None
    ) -> None:
        """One segment instead of these, with the rows that fulfil the condition: of equal ones
        the latest, and those that contradict each other all."""
        if self.readonly:
            raise StorageError(f"{self.directory} is used read-only: nothing can be removed")
        names = ", ".join(ENTRIES.names)
        with self._database(live) as connection:
            relation = connection.sql(
                f"""
                SELECT {names} FROM (
                    SELECT *, max(last_used) OVER (PARTITION BY key) AS key_used
                    FROM entries QUALIFY row_number() OVER (
                        PARTITION BY key, verdict, isolation ORDER BY created_at DESC, run_id
                    ) = 1
                ) WHERE {condition} ORDER BY key
                """,
                params=parameters or {},
            )
            self._entries.write(relation.to_arrow_reader(65_536), replaces=live)

    def _exceeds(self) -> bool:
        found = self.stats()
        keep = self.keep
        return (keep.entries is not None and found.entries > keep.entries) or (
            keep.bytes is not None and found.bytes > keep.bytes
        )

    def _since(self) -> datetime:
        age_s = self.keep.seconds
        return datetime.fromtimestamp(0 if age_s is None else max(0.0, time.time() - age_s), UTC)

    def _counts(self, live: Sequence[Path] | None = None) -> dict[str, int]:
        counts = dict.fromkeys(("hits", "misses", "evictions"), 0)
        for path in self._uses.live() if live is None else live:
            for name in counts:
                found = self._uses.about(path).get(name, 0)
                counts[name] += found if isinstance(found, int) else 0
        return counts

    @contextmanager
    def _database(self, live: Sequence[Path] | None = None) -> Iterator[DuckDBPyConnection]:
        """``segments`` and ``uses`` as they are, ``entries`` with their last use."""
        scratch = Path(tempfile.gettempdir()) / f"hpc-runner-{os.getpid()}-{secrets.token_hex(4)}"
        mend = "If that happens again, `hpc-runner cache clear` starts anew"
        with database(scratch, self.directory, mend, memory_limit=self._memory_limit) as connection:
            segments = self._entries.live() if live is None else live
            table_view(connection, "segments", segments, ENTRIES)
            table_view(connection, "uses", self._uses.live(), USES)
            connection.execute(
                """
                CREATE VIEW entries AS
                SELECT s.* EXCLUDE (file_row_number),
                       greatest(s.created_at, coalesce(u.used_at, s.created_at)) AS last_used
                FROM segments s LEFT JOIN (
                    SELECT key, max(used_at) AS used_at FROM uses GROUP BY key
                ) u USING (key)
                """
            )
            yield connection


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
