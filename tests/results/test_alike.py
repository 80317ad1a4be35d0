"""What is found by comparing columns is what the queries find by counting."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results.made_runs import MadeCandidate, make_candidate, make_row, make_run

from hpc_runner.results import alike, voting
from hpc_runner.results.alike import COLUMNS, FOUND, part
from hpc_runner.results.schema import RESULTS
from hpc_runner.results.store import ShardStore
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir

executions = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from(["accepted", "wrong_answer", "internal_error"]),
        "environment": st.sampled_from(["a", "b"]),
        "judge": st.sampled_from(["split", "split", "split", "inline"]),
        "error_type": st.sampled_from([None, "ValueError"]),
        "error_message": st.sampled_from([None, "x", "y"]),
        "tests_passed": st.integers(0, 2),
        "tests_total": st.sampled_from([0, 2]),
        "wall_s": st.integers(0, 5).map(float),
        "cpu_s": st.integers(0, 5).map(float),
        "peak_memory_bytes": st.integers(1, 5),
    }
)
alone = st.lists(executions, min_size=0, max_size=7)
# The same again and again, as most candidates do; only times and environments differ.
repeated = st.tuples(executions, st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=7))
unanimous = repeated.map(
    lambda found: [
        found[0] | {"wall_s": float(wall), "environment": "ab"[second]} for wall, second in found[1]
    ]
)


def results(run: RunDir, made: list[list[dict[str, Any]]]) -> None:
    store = ShardStore(run, 0, 0, writer="w")
    for number, rows in enumerate(made):
        candidate = make_candidate(number, f"T/{number}").candidate_id
        for round_, columns in enumerate(rows):
            store.append(make_row(candidate, round_, task_id=f"T/{number}", **columns))
    store.finish()


def votes(run: RunDir) -> list[dict[str, Any]]:
    vote(run, 0, 0.75, rounds=5)
    return pq.read_table(run.votes).to_pylist()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(unanimous | alone, min_size=1, max_size=12))
def test_both_ways_say_the_same(
    monkeypatch: pytest.MonkeyPatch, made: list[list[dict[str, Any]]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run = make_run(
            Path(directory), [MadeCandidate(f"T/{n}", []) for n in range(len(made))], finish=False
        )
        results(run, made)
        monkeypatch.setattr(voting, "part", part)
        found = votes(run)
        monkeypatch.setattr(voting, "part", lambda table, _: (FOUND.empty_table(), table))
        for one, other in zip(found, votes(run), strict=True):
            assert one == {
                name: pytest.approx(value) if isinstance(value, float) else value
                for name, value in other.items()
            }


def table(*ids: str) -> pa.Table:
    rows = [make_row(name.encode().ljust(32), n) for n, name in enumerate(ids)]
    return pa.Table.from_pylist(rows, schema=RESULTS).select(COLUMNS)


def test_candidates_may_be_in_any_order_but_not_in_pieces() -> None:
    found, rest = part(table("b", "b", "a", "c"), 9)
    assert sorted(found["n"].to_pylist()) == [1, 1, 2]
    assert not rest.num_rows
    found, rest = part(table("b", "a", "b"), 9)
    assert not found.num_rows and rest.num_rows == 3, "it can't be told here what b did"


def test_extra_rounds_are_no_part_but_are_kept_for_the_cause() -> None:
    rows = [
        make_row(bytes(32), 0),
        make_row(bytes(32), 1, verdict="wrong_answer"),
        make_row(bytes(32), 2),
        make_row(b"x" * 32, 0),
        make_row(b"x" * 32, 2, verdict="wrong_answer"),
    ]
    found, rest = part(pa.Table.from_pylist(rows, schema=RESULTS).select(COLUMNS), 2)
    assert found["candidate_id"].to_pylist() == [b"x" * 32]
    assert rest["round"].to_pylist() == [0, 1, 2]
    assert alike.FOUND.equals(found.schema)
