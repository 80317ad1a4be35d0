"""Planned runs whose workers are the stand-in, and what became of them."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.plan import plan
from hpc_runner.rundir import RunDir

Drive = Callable[..., "subprocess.Popen[str]"]
"""The fixture ``drive``: starts a coordinator."""


def write_corpus(path: Path, programs: list[tuple[str, str]]) -> Path:
    """``programs`` are (task_id, code); the stand-in takes the code for the verdict."""
    rows = [{"task_id": task, "code": code} for task, code in programs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def planned(
    where: Path, candidates: int = 12, killers: Collection[int] = (), **options: Any
) -> RunDir:
    """A run of so many candidates that the stand-in accepts, but for the ones that kill it."""
    corpus = where / "corpus.jsonl"
    # The stand-in reads the first word of the code.
    word = {n: "kill" if n in killers else "accepted" for n in range(candidates)}
    write_corpus(corpus, [(f"t/{n}", f"{word[n]} {n}") for n in range(candidates)])
    values = {"corpus": (str(corpus),), "runtime": "local", "shard_size": 3, "workers": 2}
    run = RunDir(where / "run")
    plan(run, RunConfig.parse({**values, **options}), progress=lambda _: None)
    return run


def executions(run: RunDir) -> Counter[str]:
    """How often each execution was really done."""
    path = run.root / "executed"
    return Counter(path.read_text().splitlines() if path.exists() else [])


def results(run: RunDir) -> list[tuple[bytes, int, str]]:
    """Every row of the finished shards: candidate, round, verdict."""
    rows: list[tuple[bytes, int, str]] = []
    for path in sorted(run.results(0).glob("*.parquet")):
        table = pq.read_table(path, columns=["candidate_id", "round", "verdict"])
        rows += [tuple(row.values()) for row in table.to_pylist()]
    return sorted(rows)


def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.01)
