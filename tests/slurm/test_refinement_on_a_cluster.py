"""Refinement by a chain of Slurm jobs: the coordinators ask, the array tasks have no key.

Of six programs as a test; `make refine-show` takes all 164.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from clusters import Cluster

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.coordinator_job import begin
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.results.summary import Summary
from hpc_runner.rundir import RunDir

sys.path.insert(0, str(Path(__file__).parents[1] / "refine"))

from fixing import SecondTime, leaks, problems
from model_server import ModelServer

PROBLEMS = int(os.environ.get("REFINE_SHOW_PROBLEMS", "6"))
KEY = "sk-or-v1-77ab90ce41"


def test_mended_by_nothing_but_jobs(
    here: Cluster,
    shared_data: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    source = shared_data("humanevalpack_python.jsonl.gz")
    corpus = tmp_path / "buggy.jsonl"
    with gzip.open(source, "rt") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(PROBLEMS), strict=False)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = RunDir(tmp_path / "run")
    with ModelServer(SecondTime(problems(source)), key=KEY) as server:
        config = {
            "corpus": (str(corpus),), "code_field": "buggy_solution", "runtime": "local",
            "require_isolation": "limits", "rounds": 1, "slots": 2,
            "shard_size": max(3, PROBLEMS // 8),
            "refine": {"mode": "failing", "api_base": server.api_base("openrouter")},
        }  # fmt: skip
        told = {"time": 10, "cpus_per_task": 2, "coordinator": {"memory": "1G"}}
        begin(run, RunConfig.parse(config), Profile.model_validate(told))
        seen = 0

        def over() -> bool:
            nonlocal seen
            found = leaks(run, KEY)
            seen += found.looked_at
            assert not found.processes
            return not here.run("squeue", "-h")

        here.wait_for(over, timeout=300)
        counts = server.counts
    assert run.summary.exists(), run.coordinator_log.read_text()
    assert seen, "no worker was looked at"
    summary = Summary.model_validate_json(run.summary.read_bytes())
    waves = duckdb.sql(
        f"SELECT wave, count(*) FILTER (accepted) FROM '{run.votes}' GROUP BY wave ORDER BY wave"
    ).fetchall()
    assert waves == [(0, 0), (1, 0), (2, PROBLEMS)]
    assert summary.refinement is not None
    assert summary.refinement.usd == pytest.approx(counts.usd)
    assert leaks(run, KEY).files == []
