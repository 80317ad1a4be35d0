"""The vote on candidates that did the same in all their executions, column by column.

That is most of them, and nothing has to be counted for them.  In a shard's result the rows of
a candidate are neighbours, so those with n executions are n columns of equal length: the
first rows, the second rows, and so on.  Whether they are alike, and the median of their times,
is found by comparing whole columns.  The others are left to the queries of vote_queries.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute

from hpc_runner.model import Verdict

__all__ = ["COLUMNS", "FOUND", "part"]

pc: Any = pyarrow.compute  # its stubs know too little of what kernels take

COLUMNS = [
    "candidate_id", "environment", "round", "perturbation", "verdict", "judge", "tests_passed",
    "tests_total", "wall_s", "cpu_s", "peak_memory_bytes", "error_type", "error_message",
]  # fmt: skip
"""What a vote needs of the results."""

_FIELDS: list[pa.Field[Any]] = [
    pa.field("candidate_id", pa.binary(32)),
    pa.field("n", pa.int32()),
    pa.field("verdict", pa.dictionary(pa.int32(), pa.string())),
    pa.field("environments", pa.int32()),
    pa.field("judge", pa.dictionary(pa.int32(), pa.string())),
    pa.field("error_type", pa.dictionary(pa.int32(), pa.string())),
    pa.field("error_message", pa.string()),
    pa.field("wall_s", pa.float64()),
    pa.field("cpu_s", pa.float64()),
    pa.field("peak_memory_bytes", pa.int64()),
    pa.field("score", pa.float64()),
]
FOUND = pa.schema(_FIELDS)
"""A row for each candidate whose executions are alike: there are n, all judged."""

Column = Any
"""A pyarrow array."""


def part(table: pa.Table, rounds: int) -> tuple[pa.Table, pa.Table]:
    """The candidates that are alike (``FOUND``), and the rows of all others.

    ``table`` has the columns of ``COLUMNS``.  Executions of round ``rounds`` and later are no
    part of the vote and not looked at, but come with the rows of the others.
    """
    table = table.unify_dictionaries().combine_chunks()
    voted = table.filter(pc.field("round") < rounds) if _later(table, rounds) else table
    if not voted.num_rows:
        return FOUND.empty_table(), table
    columns = _Columns(voted.combine_chunks())
    ids = columns["candidate_id"]
    ends = pc.run_end_encode(ids).run_ends
    starts = pa.concat_arrays([pa.array([0], pa.int32()), ends[:-1]])
    firsts = ids.take(starts)
    if not _differ(firsts):
        return FOUND.empty_table(), table  # not in the order of ShardStore
    sizes = pc.subtract(ends, starts)
    found, others = [], []
    for size in pc.unique(sizes).to_pylist():
        of_size = starts.filter(pc.equal(sizes, size))
        rows = [pc.add(of_size, pa.scalar(n, pa.int32())) for n in range(size)]
        alike = _alike(columns, rows)
        found.append(_found(columns, [each.filter(alike) for each in rows]))
        others += [each.filter(pc.invert(alike)) for each in rows]
    together = pa.concat_tables(found)
    if voted is table:
        rest = pa.concat_arrays(others)
        return together, table.take(rest.take(pc.sort_indices(rest)))
    known = pc.is_in(table["candidate_id"], together["candidate_id"].combine_chunks())
    return together, table.filter(pc.invert(known))


def _differ(ids: Column) -> bool:
    """They are all different; told at once where they ascend, as those of a shard do."""
    ascend = pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py()
    return bool(ascend or pc.count_distinct(ids).as_py() == len(ids))


def _later(table: pa.Table, rounds: int) -> bool:
    last = pc.max(table["round"]).as_py()
    return last is not None and last >= rounds


class _Columns:
    """Of a table in one piece; of dictionaries the codes, null as -1."""

    def __init__(self, table: pa.Table) -> None:
        self.of: dict[str, Column] = {}
        for name in table.column_names:
            chunks = table[name].chunks
            self.of[name] = chunks[0] if chunks else pa.array([], table.schema.field(name).type)
        coded = [name for name in self.of if pa.types.is_dictionary(self.of[name].type)]
        self.codes = {name: self.of[name].indices.fill_null(-1) for name in coded}

    def __getitem__(self, name: str) -> Column:
        return self.of[name]

    def code(self, verdict: Verdict) -> int:
        names: list[str] = self.of["verdict"].dictionary.to_pylist()
        return names.index(verdict.value) if verdict.value in names else -2


def _alike(columns: _Columns, rows: list[Column]) -> Column:
    """For each candidate, given the indices of its first rows, of its second rows, ...

    Only for these is each column of ``FOUND`` what the rules of the vote make of it."""
    ours = columns.code(Verdict.INTERNAL_ERROR)
    alike = pc.not_equal(columns.codes["verdict"].take(rows[0]), ours)
    for name in ("verdict", "judge", "error_type"):
        for one, next_ in _pairs(columns.codes[name], rows):
            alike = pc.and_(alike, pc.equal(one, next_))
    for one, next_ in _pairs(columns["error_message"], rows):
        same = pc.or_(pc.equal(one, next_).fill_null(False), _both_null(one, next_))
        alike = pc.and_(alike, same)
    typed = pc.greater_equal(columns.codes["error_type"].take(rows[0]), 0)
    return pc.and_(alike, pc.or_(typed, columns["error_message"].take(rows[0]).is_null()))


def _pairs(column: Column, rows: list[Column]) -> Iterator[tuple[Column, Column]]:
    """The first rows with each of the others."""
    if len(rows) > 1:
        first = column.take(rows[0])
        for each in rows[1:]:
            yield first, column.take(each)


def _both_null(one: Column, other: Column) -> Column:
    return pc.and_(one.is_null(), other.is_null())


def _found(columns: _Columns, rows: list[Column]) -> pa.Table:
    """``FOUND`` of candidates that are alike."""
    first, size = rows[0], len(rows)
    values = {name: columns[name].take(first) for name in COLUMNS if name in FOUND.names}
    for name in ("wall_s", "cpu_s"):
        values[name] = _median([columns[name].take(each) for each in rows])
    peaks = [columns["peak_memory_bytes"].take(each) for each in rows]
    values["peak_memory_bytes"] = functools.reduce(pc.max_element_wise, peaks)
    values["score"] = _score(columns, rows)
    values["n"] = pa.repeat(pa.scalar(size, pa.int32()), len(first))
    values["environments"] = _distinct(columns, rows)
    return pa.table({name: values[name] for name in FOUND.names}).cast(FOUND)


def _score(columns: _Columns, rows: list[Column]) -> Column:
    """The mean share of its tests that an execution passed (docs/votes.md)."""
    shares = []
    for each in rows:
        passed, total = (columns[name].take(each) for name in ("tests_passed", "tests_total"))
        share = pc.divide(passed.cast(pa.float64()), pc.max_element_wise(total, 1))
        shares.append(pc.if_else(pc.greater(total, 0), share, 0.0))
    mean = pc.divide(functools.reduce(pc.add, shares), float(len(rows)))
    right = pc.equal(columns.codes["verdict"].take(rows[0]), columns.code(Verdict.ACCEPTED))
    return pc.if_else(right, 1.0, mean)


def _distinct(columns: _Columns, rows: list[Column]) -> Column:
    """How many environments each candidate was run in."""
    count: Column = pa.repeat(pa.scalar(1, pa.int32()), len(rows[0]))
    if len(columns["environment"].dictionary) < 2:
        return count
    seen = [columns.codes["environment"].take(each) for each in rows]
    for place in range(1, len(seen)):
        differ = [pc.not_equal(seen[place], earlier) for earlier in seen[:place]]
        count = pc.add(count, functools.reduce(pc.and_, differ).cast(pa.int32()))
    return count


def _median(columns: list[Column]) -> Column:
    """Row by row: the columns are sorted by comparing and exchanging neighbours."""
    low: Callable[[Column, Column], Column] = pc.min_element_wise
    high: Callable[[Column, Column], Column] = pc.max_element_wise
    size = len(columns)
    sorted_ = list(columns)
    for turn in range(size):
        for left in range(turn % 2, size - 1, 2):
            one, other = sorted_[left], sorted_[left + 1]
            sorted_[left], sorted_[left + 1] = low(one, other), high(one, other)
    middle = size // 2
    if size % 2:
        return sorted_[middle]
    return pc.divide(pc.add(sorted_[middle - 1], sorted_[middle]), 2.0)
