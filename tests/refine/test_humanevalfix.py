"""HumanEvalPack's buggy programs, mended at the second attempt by a model behind HTTP.

Twelve of them as a test; `make refine-show` takes all 164.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from fixing import SecondTime, leaks, problems
from model_server import ModelServer

from hpc_runner.results.summary import Summary
from hpc_runner.rundir import RunDir

PROBLEMS = int(os.environ.get("REFINE_SHOW_PROBLEMS", "12"))
KEY = "sk-or-v1-5f0e7c2a9b"


def test_mended_at_the_second_attempt(
    shared_data: Callable[[str], Path], checkout: Path, tmp_path: Path
) -> None:
    corpus = shared_data("humanevalpack_python.jsonl.gz")
    model = SecondTime(problems(corpus))
    run = RunDir(tmp_path / "run")
    with ModelServer(model, key=KEY) as server:
        words = [
            "run", corpus, "--code-field", "buggy_solution", "--limit", PROBLEMS, "--out", run.root,
            "--runtime", "local", "--require-isolation", "limits", "--rounds", 1, "--workers", 2,
            "--refine", "failing", "--api-base", server.api_base("openrouter"),
        ]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "hpc_runner", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(checkout), "OPENROUTER_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seen = 0
        while process.poll() is None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                found = leaks(run, KEY, besides={process.pid})
                seen += found.looked_at
                assert not found.processes
        said, _ = process.communicate()
        counts = server.counts
    assert process.returncode == 0, said
    assert seen, "no worker was looked at"
    summary = Summary.model_validate_json(run.summary.read_bytes())
    waves = duckdb.sql(
        f"SELECT wave, count(*) FILTER (accepted) FROM '{run.votes}' GROUP BY wave ORDER BY wave"
    ).fetchall()
    assert waves == [(0, 0), (1, 0), (2, PROBLEMS)]
    assert summary.accepted == 0
    assert summary.accepted_after_refinement == PROBLEMS
    assert sorted(model.right) == sorted(one.task_id for one in model.known[:PROBLEMS])
    assert summary.refinement is not None
    assert summary.refinement.usd == pytest.approx(counts.usd)
    assert summary.refinement.answers == counts.answers
    assert summary.refinement.prompt_tokens == counts.prompt_tokens
    assert summary.refinement.cached_tokens == counts.cached_tokens > 0
    lines = [json.loads(line) for line in run.answers.read_text().splitlines()]
    assert sum(line["usd"] for line in lines) == pytest.approx(counts.usd)
    assert KEY not in said
    assert leaks(run, KEY).files == []
