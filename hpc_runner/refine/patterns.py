"""What repairs have taught, from run to run: which strategy works for which kind of failure.

    DIRECTORY/patterns/   segments of ``PATTERNS``, as the result cache has them
    DIRECTORY/damaged/    segments that are not what their name says

Any number of runs read and write it.  A row is the outcome of one repair by a model; rows that
two coordinators wrote of the same repair count once.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hpc_runner.refine.failures import Failure
from hpc_runner.refine.prompt import Example
from hpc_runner.refine.strategies import Strategy, usual
from hpc_runner.refine.taxonomy import signature
from hpc_runner.results.query import database, dict_rows, table_view
from hpc_runner.results.segments import Segments

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["PATTERNS", "Learnt", "Patterns", "default_directory", "error_class"]

EXPLORE = 0.1
"""Share of failures for which a strategy is tried that nothing is known of."""
EXAMPLES = 2
"""Shown with a question."""
DIFF_CHARS = 2_000
"""A longer diff is no example."""
JOIN_AT = 24
"""So many segments are joined by whoever adds one more."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("run_id", pa.string(), False),
    pa.field("candidate_id", pa.binary(32), False),
    pa.field("created_at", pa.timestamp("us", tz="UTC"), False),
    pa.field("error_class", pa.string(), False),
    pa.field("signature", pa.string(), False),
    pa.field("strategy", pa.string(), False),
    pa.field("model", pa.string(), True),
    pa.field("accepted", pa.bool_(), False),
    pa.field("diff", pa.large_string(), True),  # of an accepted repair
    pa.field("usd", pa.float64(), True),
]
PATTERNS = pa.schema(_FIELDS)

Counts = Mapping[str, Mapping[str, tuple[int, int]]]
"""Error class → strategy → (accepted, tried)."""


def default_directory() -> Path:
    """$XDG_CACHE_HOME/hpc_runner/patterns, or ~/.cache instead."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hpc_runner" / "patterns"


def error_class(failure: Failure) -> str:
    """What failures must share for one's repair to say something about the other's."""
    return f"{failure.candidate.language} {failure.verdict} {failure.error_type or '-'}"


@dataclass(frozen=True)
class Learnt:
    """What was known when it was looked up.  Pure: the same failure gets the same strategy."""

    counts: Counts
    examples: Mapping[tuple[str, str], tuple[str, ...]]
    """(error class, signature) → diffs of accepted repairs; with "" for any signature."""
    seed: int = 0

    def strategy(self, failure: Failure) -> Strategy:
        """The usual one, where nothing else is known to work better.

        Each strategy that was tried is drawn from what its successes make likely (Thompson's
        sampling), and the largest draw wins; now and then one is tried that never was.
        """
        draw = random.Random(f"{self.seed} {failure.candidate_id.hex()}")
        first = usual(failure)
        known = self.counts.get(error_class(failure), {})
        if not known:
            return first
        never = [one for one in Strategy if one.value not in known and one is not first]
        if never and draw.random() < EXPLORE:
            return draw.choice(never)
        chances = {first: draw.betavariate(2, 1)}
        for name, (accepted, tried) in sorted(known.items()):
            chances[Strategy(name)] = draw.betavariate(1 + accepted, 1 + tried - accepted)
        return max(chances, key=lambda one: chances[one])

    def shown(self, failure: Failure) -> tuple[Example, ...]:
        """Repairs that worked for this signature, or else for this kind of failure."""
        kind, said = error_class(failure), signature(failure)
        for known in (said, ""):
            if diffs := self.examples.get((kind, known)):
                return tuple(Example(known or kind, diff) for diff in diffs)
        return ()


class Patterns:
    """The store under ``directory``, made at the first write.  Methods raise ``StorageError``."""

    def __init__(self, directory: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.directory = directory
        self._segments = Segments(
            directory / "patterns", PATTERNS, damaged=directory / "damaged", say=say
        )

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Keep outcomes: dictionaries with the keys of ``PATTERNS``."""
        if not rows:
            return
        self._segments.write([pa.Table.from_pylist(rows, schema=PATTERNS)])
        live = self._segments.live()
        if len(live) >= JOIN_AT:
            names = ", ".join(PATTERNS.names)
            with self._database() as connection:
                joined = connection.sql(f"SELECT {names} FROM patterns").to_arrow_table()
            self._segments.write([joined], replaces=live)
            self._segments.sweep()

    def learnt(self, seed: int = 0) -> Learnt:
        counts: dict[str, dict[str, tuple[int, int]]] = {}
        examples: dict[tuple[str, str], tuple[str, ...]] = {}
        with self._database() as connection:
            for row in dict_rows(connection, _COUNTS):
                strategies = counts.setdefault(row["error_class"], {})
                if row["strategy"] in {one.value for one in Strategy}:
                    strategies[row["strategy"]] = (row["accepted"], row["tried"])
            for row in dict_rows(connection, _EXAMPLES, {"chars": DIFF_CHARS, "most": EXAMPLES}):
                examples[row["error_class"], row["signature"]] = tuple(row["diffs"])
        return Learnt(counts, examples, seed)

    def rows(self) -> list[dict[str, Any]]:
        """For people: error class, strategy, tried, accepted, the last time, an example."""
        with self._database() as connection:
            return dict_rows(connection, _LISTED)

    @contextmanager
    def _database(self) -> Iterator[DuckDBPyConnection]:
        scratch = Path(tempfile.mkdtemp(prefix="hpc-runner-patterns-"))
        mend = f"Remove {self.directory} to start anew"
        with database(scratch, self.directory, mend, memory_limit="256MB") as connection:
            table_view(connection, "segments", self._segments.live(), PATTERNS)
            connection.execute(_ONCE)
            yield connection


_ONCE = """
CREATE VIEW patterns AS
FROM segments QUALIFY row_number() OVER (
    PARTITION BY run_id, candidate_id ORDER BY created_at DESC
) = 1
"""
_COUNTS = """
SELECT error_class, strategy, count(*) FILTER (accepted)::INTEGER AS accepted,
       count(*)::INTEGER AS tried
FROM patterns GROUP BY ALL
"""
_EXAMPLES = """
WITH short AS (FROM patterns WHERE accepted AND diff IS NOT NULL AND length(diff) <= $chars),
both_kinds AS (
    SELECT error_class, signature, diff FROM short UNION ALL SELECT error_class, '', diff FROM short
)
SELECT error_class, signature, list(diff ORDER BY length(diff), diff)[:$most] AS diffs
FROM (SELECT DISTINCT * FROM both_kinds) GROUP BY ALL
"""
_LISTED = """
SELECT error_class, strategy, count(*)::INTEGER AS tried,
       count(*) FILTER (accepted)::INTEGER AS accepted,
       avg(accepted::INTEGER) AS rate, avg(usd) AS usd_each, epoch(max(created_at)) AS last_used,
       arg_min(diff, length(diff)) FILTER (accepted) AS example
FROM patterns GROUP BY ALL ORDER BY error_class, rate DESC, tried DESC, strategy
"""
