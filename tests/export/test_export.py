"""Exports: one row for each sample, in the order of the corpus, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from results.made_runs import MadeCandidate, make_run

from hpc_runner.errors import ConfigError, RunError
from hpc_runner.export.joined import JOINED
from hpc_runner.export.run import EXPORTS, default_name, export_run
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    error = {"error_type": "KeyError", "error_message": "'é'"}
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 3, samples=2),
        MadeCandidate("T/1", ["time_limit"] * 3),
        MadeCandidate("T/2", ["runtime_error"] * 3, columns=error),
        MadeCandidate("T/3", ["accepted", "accepted", "wrong_answer"]),
        MadeCandidate("T/4", ["wrong_answer"] * 3),
        MadeCandidate("T/5", ["internal_error"] * 3),
    ]
    made = make_run(tmp_path / "run", candidates, shards=3)
    vote(made, 0, 0.8)
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_humaneval_lines(run: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "samples_results.jsonl"
    assert export_run(run, "humaneval", out) == 7
    found = lines(out)
    assert [(line["task_id"], line["result"], line["passed"]) for line in found] == [
        ("T/0", "passed", True),
        ("T/0", "passed", True),
        ("T/1", "timed out", False),
        ("T/2", "failed: runtime_error: KeyError: 'é'", False),
        ("T/3", "failed: no consensus, accepted in 67% of 3", False),
        ("T/4", "failed: wrong_answer", False),
        ("T/5", "failed: unjudged", False),
    ]
    assert found[2]["completion"] == "def f(): return 1"
    assert list(found[0]) == ["task_id", "completion", "result", "passed"]


def test_jsonl_and_parquet_say_the_same(run: RunDir, tmp_path: Path) -> None:
    assert export_run(run, "jsonl", tmp_path / "a.jsonl") == 7
    assert export_run(run, "parquet", tmp_path / "a.parquet") == 7
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert file.schema_arrow.equals(JOINED)
    rows = file.read().to_pylist()
    for row in rows:
        row["candidate_id"] = row["candidate_id"].hex()
    assert rows == lines(tmp_path / "a.jsonl")
    assert [row["row"] for row in rows] == list(range(7))
    assert rows[4]["flaky"] and rows[4]["code"] == "def f(): return 3"


def test_samples_stay_in_the_order_of_the_corpus_over_many_batches(tmp_path: Path) -> None:
    candidates = [MadeCandidate(f"T/{n % 7}", ["accepted"]) for n in range(500)]
    candidates[3].samples = 9000
    run = make_run(tmp_path / "run", candidates, shards=4)
    vote(run, 0, 0.8)
    assert export_run(run, "jsonl", tmp_path / "a.jsonl") == 9499
    assert [line["row"] for line in lines(tmp_path / "a.jsonl")] == list(range(9499))


@pytest.mark.parametrize("format_", sorted(EXPORTS))
def test_before_the_vote_there_is_nothing_to_export(tmp_path: Path, format_: str) -> None:
    run = make_run(tmp_path / "run", [MadeCandidate("T/0", [])], finish=False)
    with pytest.raises(RunError, match="resume"):
        export_run(run, format_, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_are_named(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="humaneval, jsonl, parquet"):
        export_run(run, "csv", tmp_path / "out")
    with pytest.raises(ConfigError, match="is a directory"):
        export_run(run, "jsonl", tmp_path)
    with pytest.raises(ConfigError, match="not there"):
        export_run(run, "jsonl", tmp_path / "no" / "out.jsonl")


def test_the_name_is_that_of_the_samples() -> None:
    assert default_name("/x/samples.jsonl.gz", "humaneval") == "samples_results.jsonl"
    assert default_name("corpus.parquet", "parquet") == "corpus_votes.parquet"
