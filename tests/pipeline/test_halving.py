"""Halving finds every candidate that kills its worker, and nothing else."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.pipeline.halving import begin, failed, passed, portion

SHARDS = st.integers(1, 3000).flatmap(
    lambda rows: st.tuples(st.just(rows), st.sets(st.integers(0, rows - 1), max_size=12))
)


@given(SHARDS)
def test_killers_are_found_and_everything_else_is_run(shard: tuple[int, set[int]]) -> None:
    rows, killers = shard
    search, runs, judged, names = begin(rows), 0, set[int](), set[str]()
    while True:
        now = portion(search, rows)
        assert now.name not in names
        names.add(now.name)
        if now.whole:
            break
        runs += 1
        within = range(now.first, now.end)
        if killers.isdisjoint(within):
            judged.update(within)
            search = passed(search)
        else:
            search = failed(search, "died")
    assert set(now.unjudged) == killers
    assert judged == set(range(rows)) - killers
    assert (now.first, now.end) == (0, rows)
    assert runs <= 2 + len(killers) * (2 * math.ceil(math.log2(rows)) + 1)


@given(st.integers(1, 60))
def test_a_shard_of_nothing_but_killers_ends(rows: int) -> None:
    search, runs = begin(rows), 0
    while search.todo:
        search = failed(search, "died")
        runs += 1
    assert set(search.killers) == set(range(rows))
    assert runs <= 2 * rows
