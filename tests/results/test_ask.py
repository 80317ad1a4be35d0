"""A user's SQL sees the tables of a run, and nothing else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from results.made_runs import MadeCandidate, make_run
from typer.testing import CliRunner

from hpc_runner.cli import app
from hpc_runner.errors import ConfigError, RunError
from hpc_runner.results.ask import TABLES, answer
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir

ROWS = {"candidates": 2, "samples": 3, "results": 6, "votes": 2, "rejected": 1}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 3, samples=2),
        MadeCandidate("T/1", ["accepted", "time_limit", "accepted"]),
    ]
    made = make_run(tmp_path / "it's a run", candidates, rejected=[("c.jsonl", 3, "code", "none")])
    vote(made, 0, 0.8)
    return made


def rows(run: RunDir, sql: str) -> list[dict[str, object]]:
    return [row for batch in answer(run, sql) for row in batch.to_pylist()]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there(run: RunDir, name: str) -> None:
    assert rows(run, f"SELECT count(*) AS n FROM {name}") == [{"n": ROWS[name]}]


def test_tables_can_be_joined_before_and_after_the_vote(run: RunDir) -> None:
    sql = "SELECT s.task_id, v.verdict FROM samples s LEFT JOIN votes v USING (candidate_id)"
    assert len(rows(run, sql)) == 3
    run.votes.unlink()
    assert {row["verdict"] for row in rows(run, sql)} == {None}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('{root}/run.json')",
        "SELECT * FROM glob('/etc/*')",
        "FROM '{root}/samples.parquet' JOIN '/etc/hostname' ON true",
        "COPY votes TO '{root}/copy.csv'",
        "ATTACH '{root}/new.db'",
        "SET enable_external_access = true",
        "INSERT INTO votes FROM votes",
        "DROP VIEW votes",
        "SELECT 1; DROP VIEW votes",
        "",
    ],
)
def test_nothing_else_can_be_read_or_written(run: RunDir, sql: str) -> None:
    before = sorted(path.name for path in run.root.rglob("*"))
    with pytest.raises(ConfigError, match="candidates, samples, results, votes, rejected"):
        rows(run, sql.format(root=str(run.root).replace("'", "''")))
    assert sorted(path.name for path in run.root.rglob("*")) == before


def test_a_mistake_says_what_is_wrong(run: RunDir) -> None:
    with pytest.raises(ConfigError, match="nope"):
        rows(run, "SELECT nope FROM votes")


def test_an_answer_larger_than_memory_comes_batch_by_batch(run: RunDir) -> None:
    sql = "SELECT a.range AS n FROM range(3_000_000) a ORDER BY hash(n)"
    count = sum(batch.num_rows for batch in answer(run, sql, memory_limit="64MiB"))
    assert count == 3_000_000
    assert not [path for path in run.root.iterdir() if path.name.startswith(".scratch")]


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        rows(RunDir(tmp_path / "none"), "SELECT 1")


def test_every_format_holds_the_same(run: RunDir, tmp_path: Path) -> None:
    sql = "SELECT task_id, candidate_id, agreement FROM votes ORDER BY task_id"
    expected = [(row["task_id"], row["candidate_id"].hex()) for row in rows(run, sql)]  # type: ignore[attr-defined]

    def ask(*words: str) -> str:
        done = CliRunner().invoke(app, ["query", str(run.root), sql, *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    found = [json.loads(line) for line in ask("--format", "json").splitlines()]
    assert [(row["task_id"], row["candidate_id"]) for row in found] == expected
    table = list(csv.reader(ask("--format", "csv").splitlines()))
    assert table[0] == ["task_id", "candidate_id", "agreement"]
    assert [(row[0], row[1]) for row in table[1:]] == expected
    target = tmp_path / "found.parquet"
    ask("--format", "parquet", "--out", str(target))
    assert pq.read_table(target).num_rows == 2
    assert "T/1" in ask()


def test_the_table_for_people_ends_somewhere(run: RunDir) -> None:
    done = CliRunner().invoke(app, ["query", str(run.root), "FROM range(1000)"])
    assert "the first 100 rows" in done.stdout and len(done.stdout.splitlines()) == 102
