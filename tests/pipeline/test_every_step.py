"""A coordinator that is killed before any of its changes to the disk, and again, loses nothing
and submits nothing twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_plans import executions, write_corpus

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.query import result_files
from hpc_runner.rundir import RunDir

HERE = Path(__file__).parent
SOME = 12
"""In CI; HPC_RUNNER_FAULTS=all takes every change there is, and another number so many."""


def inject(planned: Path, numbers: list[int]) -> list[dict[str, Any]]:
    out = planned.with_name("out.jsonl")
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, HERE / "faults.py", planned, out, *map(str, numbers)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in out.read_text().splitlines()]


def outcome(run: RunDir) -> dict[str, Any]:
    """What has to be the same, however often the coordinator died."""
    rows = [
        (row["wave"], row["candidate_id"].hex(), row["round"], row["verdict"])
        for path in result_files(run, run.waves())
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(rows) == len({row[:3] for row in rows}), "an execution has two rows"
    votes = pq.read_table(run.votes, columns=["wave", "candidate_id", "verdict"]).to_pylist()
    summary = json.loads(run.summary.read_text())
    for changing in ("started_at", "ended_at", "wall_s", "executions_per_s", "paths"):
        summary.pop(changing)
    return {"rows": sorted(rows), "votes": votes, "summary": summary}


def submissions(run: RunDir) -> Counter[tuple[int, int]]:
    tasks = json.loads((run.root / "queue.json").read_text())["tasks"]
    return Counter((task["wave"], task["shard"]) for task in tasks)


@pytest.fixture(scope="module")
def planned_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("faults")
    words = ["accepted"] * 5 + ["runtime_error", "kill", "wrong_answer"]
    corpus = write_corpus(
        where / "corpus.jsonl", [(f"t/{n}", f"{word} {n}") for n, word in enumerate(words)]
    )
    values = {"corpus": (str(corpus),), "runtime": "local", "shard_size": 4, "rounds": 2}
    plan(RunDir(where / "run"), RunConfig.parse(values), progress=lambda _: None)
    return where / "run"


def test_a_death_before_any_change_changes_nothing(planned_run: Path) -> None:
    (unbroken,) = inject(planned_run, [0])
    expected = outcome(RunDir(Path(unbroken["run"])))
    (together,) = RunDir(Path(unbroken["run"])).compacted(0).iterdir()
    assert together.name == "00000-00001.parquet", "compaction is one of the steps"
    tasks = submissions(RunDir(Path(unbroken["run"])))
    assert tasks[0, 0] == 1
    assert tasks[0, 1] == 3 + 4 + 1, "the shard with the killer: failures, portions, last pass"
    changes = unbroken["changes"]
    assert changes > 50
    numbers = list(range(1, changes + 1))
    asked = os.environ.get("HPC_RUNNER_FAULTS", str(SOME))
    seed = int(os.environ.get("HPC_RUNNER_FAULTS_SEED", "7"))
    if asked != "all":
        picked = random.Random(seed).sample(numbers, min(int(asked), changes))
        numbers = sorted(picked)
    print(f"{len(numbers)} of {changes} changes, seed {seed}")
    for found in inject(planned_run, numbers):
        run = RunDir(Path(found["run"]))
        assert found["deaths"] >= 1, f"nobody died before change {found['number']}"
        assert outcome(run) == expected, f"a death before change {found['number']}"
        assert submissions(run) == tasks, f"a death before change {found['number']}"
        assert set(executions(run).values()) == {1}
