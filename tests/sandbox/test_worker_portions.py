"""A worker that may run a portion of its shard only, and the pass that ends the search."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.heartbeat import read_heartbeat
from hpc_runner.results.portion import Portion, is_done, write_portion
from hpc_runner.results.store import ShardStore
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.worker import main

TESTS = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}


def planned(where: Path, candidates: int = 4) -> RunDir:
    corpus = where / "corpus.jsonl"
    rows = [
        {"task_id": f"t/{n}", "code": f"def f(x): return x + 1\n# {n}\n", "tests": TESTS}
        for n in range(candidates)
    ]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: dict[str, Any] = {"corpus": (str(corpus),), "runtime": "local", "rounds": 2}
    run = RunDir(where / "run")
    config = RunConfig.parse({**asked, "require_isolation": "limits", "shard_size": candidates})
    plan(run, config, progress=lambda _: None)
    return run


def work(run: RunDir) -> None:
    assert main([str(run.root), "0", "0"]) == 0


def known(run: RunDir) -> int:
    with ShardStore(run, 0, 0, writer="reader") as store:
        return len(list(store.recovered()))


def test_only_the_portion_is_run_and_the_last_pass_writes_the_result(tmp_path: Path) -> None:
    run = planned(tmp_path)
    first, second = Portion("a", 0, 2), Portion("b", 3, 4)
    for portion, rows in ((first, 4), (second, 6)):
        write_portion(run, 0, 0, portion)
        work(run)
        assert is_done(run, 0, 0, portion.name)
        assert known(run) == rows
        assert not run.result(0, 0).exists()
        heartbeat = read_heartbeat(run, 0, 0)
        assert heartbeat is not None
        assert (heartbeat.done, heartbeat.planned) == (rows, 8)
    write_portion(run, 0, 0, Portion("c", 0, 4, whole=True, unjudged={2: "its worker died"}))
    work(run)
    rows = pq.read_table(run.result(0, 0)).to_pylist()
    assert Counter(row["verdict"] for row in rows) == {"accepted": 6, "internal_error": 1}
    (unjudged,) = (row for row in rows if row["verdict"] == "internal_error")
    assert unjudged["task_id"] == "t/2"
    assert unjudged["error_message"] == "it ran alone, and its worker died"
    assert unjudged["isolation"] == "none"


def test_a_portion_that_is_run_again_repeats_nothing(tmp_path: Path) -> None:
    run = planned(tmp_path)
    write_portion(run, 0, 0, Portion("a", 0, 4))
    work(run)
    before = sorted(path.name for path in run.parts(0, 0).iterdir())
    work(run)
    assert sorted(path.name for path in run.parts(0, 0).iterdir()) == before
