"""The packaged example corpus gives the verdicts that stand beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hpc_runner.model import Verdict
from hpc_runner.rundir import RunDir

EXAMPLES = files("hpc_runner") / "examples"
CORPUS = [json.loads(line) for line in (EXAMPLES / "corpus.jsonl").read_text().splitlines()]
EXPECTED = json.loads((EXAMPLES / "expected.json").read_text())


def sample_names(tasks: list[str]) -> list[str]:
    """``TASK#N`` for each: the N-th sample of its task, from 0."""
    seen: dict[str, int] = {}
    names = []
    for task in tasks:
        names.append(f"{task}#{seen.get(task, 0)}")
        seen[task] = seen.get(task, 0) + 1
    return names


def test_each_row_has_an_expected_verdict() -> None:
    assert sample_names([row["task_id"] for row in CORPUS]) == list(EXPECTED)
    known = {verdict.value for verdict in Verdict} | {None}
    assert {entry["verdict"] for entry in EXPECTED.values()} <= known


def test_the_corpus_shows_every_kind_of_test_and_checker() -> None:
    kinds = {row["tests"]["kind"] for row in CORPUS}
    assert kinds == {"assertions", "calls", "stdio", "unittest", "expected_output", "none"}
    checkers = {row["tests"]["checker"] for row in CORPUS if row["tests"]["kind"] == "stdio"}
    assert checkers == {"exact", "trimmed", "tokens", "floats"}


def test_each_row_is_documented(checkout: Path) -> None:
    text = (checkout / "docs" / "example.md").read_text()
    for name, entry in EXPECTED.items():
        verdict = entry["verdict"] or "varies"
        assert f"| `{name}` | `{verdict}` | {entry['shows']} |" in text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    out = tmp_path_factory.mktemp("example") / "run"
    done = subprocess.run(
        [Path(sys.executable).with_name("hpc-runner"), "run", "example", "--out", str(out)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return RunDir(out)


def test_every_verdict_is_as_expected(run: RunDir) -> None:
    votes = {row["candidate_id"]: row for row in pq.read_table(run.votes).to_pylist()}
    found = {
        f"{row['task_id']}#{row['sample']}": votes[row["candidate_id"]]
        for row in pq.read_table(run.samples).to_pylist()
    }
    assert list(found) == list(EXPECTED)
    for name, entry in EXPECTED.items():
        vote = found[name]
        if entry["verdict"] is None:
            assert vote["verdict"] in {"accepted", "wrong_answer"}, name
            continue
        assert vote["verdict"] == entry["verdict"], f"{name}: {vote}"
        assert vote["accepted"] == (entry["verdict"] == "accepted"), name
        assert not vote["flaky"], name


def test_no_row_was_rejected_and_no_execution_was_lost(run: RunDir) -> None:
    assert not run.rejected.exists() or pq.read_metadata(run.rejected).num_rows == 0
    assert sum(row["unjudged"] for row in pq.read_table(run.votes).to_pylist()) == 0
