"""pass@k of the parts of a corpus."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from results.made_runs import MadeCandidate, make_run

from hpc_runner.results.schema import SAMPLES
from hpc_runner.results.store import write_table
from hpc_runner.results.summary import Summary, summarise
from hpc_runner.results.vote import vote

GOOD, BAD = "accepted", "wrong_answer"


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    candidates = [
        MadeCandidate("A", [GOOD, GOOD] * 3, samples=3),
        MadeCandidate("A", [GOOD, BAD] * 3),
        MadeCandidate("B", [BAD, BAD] * 3),
        MadeCandidate("B", [GOOD, "internal_error"] * 3),
    ]
    run = make_run(tmp_path, candidates, environments=["py311", "py313"])
    samples = pq.read_table(run.samples)
    names = pc.if_else(pc.equal(samples["task_id"], "A"), "a.jsonl", "b.jsonl")
    place = SAMPLES.get_field_index("file")
    table = samples.set_column(place, "file", names).cast(SAMPLES)
    assert isinstance(table, pa.Table)
    write_table(run.samples, table)
    vote(run, 0, 0.8, rounds=3)
    return summarise(run)


def test_sources_and_environments_are_counted_by_themselves(summary: Summary) -> None:
    found = {(p.kind, p.name): (p.tasks, p.samples, p.accepted) for p in summary.parts}
    assert found == {
        ("source", "a.jsonl"): (1, 4, 3),
        ("source", "b.jsonl"): (1, 2, 1),
        ("environment", "py311"): (2, 6, 5),
        ("environment", "py313"): (2, 6, 3),
    }


def test_their_pass_at_1_is_the_mean_over_tasks_with_an_interval_around_it(
    summary: Summary,
) -> None:
    found = {p.name: p for p in summary.parts}
    assert found["py311"].pass_at == {1: pytest.approx((4 / 4 + 1 / 2) / 2)}
    assert found["py313"].pass_at == {1: pytest.approx((3 / 4 + 0) / 2)}
    assert found["py311"].pass_at_interval[1] == (0.5, 1.0)
    low, high = summary.pass_at_interval[1]
    assert low <= summary.pass_at[1] <= high
