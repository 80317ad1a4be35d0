"""docs/results.md is true: its queries run, its columns are those of the schemas."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from results.made_runs import MadeCandidate, make_run

from hpc_runner.model import Verdict
from hpc_runner.results import schema
from hpc_runner.results.vote import TIE_ORDER, vote

DOCUMENT = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    section = DOCUMENT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def type_name(field: pa.Field) -> str:
    names = {
        "binary(32)": pa.types.is_fixed_size_binary,
        "timestamp, UTC": pa.types.is_timestamp,
        "list of struct": lambda t: pa.types.is_list(t) and pa.types.is_struct(t.value_type),
        "list of string": pa.types.is_list,
        "string": lambda t: (
            pa.types.is_dictionary(t) or pa.types.is_string(t) or pa.types.is_large_string(t)
        ),
    }
    found = next((name for name, fits in names.items() if fits(field.type)), str(field.type))
    return found + (", null" if field.nullable else "")


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("samples.parquet", schema.SAMPLES),
        ("rejected.parquet", schema.REJECTED),
        ("waves/NNN/candidates.parquet", schema.CANDIDATES),
        ("waves/NNN/results/SSSSS.parquet", schema.RESULTS),
        ("waves/NNN/refined.parquet", schema.REFINED),
        ("votes.parquet", schema.VOTES),
    ],
)
def test_every_column_is_explained(heading: str, columns: pa.Schema) -> None:
    documented = [(name.strip("`"), type_) for name, type_, _ in rows(heading)]
    assert documented == [(field.name, type_name(field)) for field in columns]


def test_every_verdict_is_explained_and_ties_are_as_told() -> None:
    assert {row[0].strip("`") for row in rows("Verdicts")} == {verdict.value for verdict in Verdict}
    assert ", ".join(f"`{verdict.value}`" for verdict in TIE_ORDER) in DOCUMENT


def test_the_queries_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 3, samples=3),
        MadeCandidate("T/1", ["accepted", "time_limit", "accepted"]),
        MadeCandidate("T/2", ["internal_error"] * 3),
        MadeCandidate("T/3", ["accepted", "time_limit"] * 2),
    ]
    run = make_run(tmp_path, candidates, shards=4, environments=["py311", "py313"])
    vote(run, 0, 0.8)
    monkeypatch.chdir(run.root)
    queries = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(queries) == 4
    verdicts, flaky, disagree, time = (
        duckdb.connect().execute(query).fetchall() for query in queries
    )
    assert verdicts == [("accepted", 4, 66.7), ("time_limit", 1, 16.7), ("unjudged", 1, 16.7)]
    found = [(row[0], row[3]) for row in flaky]
    assert found == [
        ("T/1", ["accepted", "accepted", "time_limit"]),
        ("T/3", ["accepted", "accepted", "time_limit", "time_limit"]),
    ]
    assert [(row[0], row[2], row[3]) for row in disagree] == [
        ("T/1", "py311", ["accepted", "accepted"]),
        ("T/1", "py313", ["time_limit"]),
        ("T/3", "py311", ["accepted", "accepted"]),
        ("T/3", "py313", ["time_limit", "time_limit"]),
    ]
    assert time[0] == ("T/3", 4, 2.0, 0.5)
    assert time[1:] == [("T/0", 3, 1.5, 0.0), ("T/1", 3, 1.5, 0.333), ("T/2", 3, 1.5, 0.0)]
