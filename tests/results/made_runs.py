"""Run directories made by hand, for tests of what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from hpc_runner.config import RunConfig
from hpc_runner.model import Assertions, Candidate
from hpc_runner.results.schema import REJECTED, SAMPLES, SCHEMA_VERSION
from hpc_runner.results.store import CandidateWriter, ResultRow, ShardStore, write_table
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, RunInfo, write_info

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def make_candidate(number: int, task_id: str | None = None) -> Candidate:
    tests = Assertions(code="", cases=(f"assert f() == {number}",))
    return Candidate(
        task_id=task_id or f"T/{number}", code=f"def f(): return {number}", tests=tests
    )


def make_row(candidate_id: bytes, round_: int = 0, **columns: Any) -> ResultRow:
    """A row as a worker makes it; ``columns`` replace what is said here."""
    row = {
        "run_id": "made",
        "wave": 0,
        "shard": 0,
        "task_id": "T/0",
        "candidate_id": candidate_id,
        "generation": 0,
        "environment": "py311",
        "round": round_,
        "attempt": 0,
        "perturbation": "neutral",
        "verdict": "accepted",
        "judge": "split",
        "judge_reason": None,
        "tests": [{"name": "test 0", "outcome": "accepted", "wall_s": 0.25, "message": ""}],
        "tests_passed": 1,
        "tests_total": 1,
        "exit_code": 0,
        "signal": None,
        "wall_s": 0.5,
        "waited_s": 0.0,
        "cpu_s": 0.25,
        "peak_memory_bytes": 10_000_000,
        "stdout_tail": "",
        "stderr_tail": "",
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "stdout_sha256": bytes(32),
        "stderr_sha256": bytes(32),
        "error_type": None,
        "error_message": None,
        "suspicion": [],
        "runtime": "local",
        "isolation": "full",
        "mechanisms": "mount,net,pid,user",
        "environment_digest": None,
        "python": "3.11.7",
        "host": "node1",
        "node_speed": 1.0,
        "agent_version": "1",
        "started_at": START,
    }
    assert columns.keys() <= row.keys()
    return row | columns


@dataclass
class MadeCandidate:
    """A candidate of a made run: its task, how often it was sampled, what its executions gave."""

    task_id: str
    verdicts: Sequence[str]
    samples: int = 1
    columns: Mapping[str, Any] = field(default_factory=dict)


def make_run(
    root: Path,
    candidates: Sequence[MadeCandidate],
    *,
    shards: int = 1,
    rounds: int = 3,
    environments: Sequence[str] = ("py311",),
    rejected: Sequence[tuple[str, int, str, str]] = (),
    finish: bool = True,
    first: int = 0,
) -> RunDir:
    """A run of one wave whose executions began one second after another: those of round 0 in
    each of the environments, then those of round 1."""
    run = RunDir(root)
    made = [make_candidate(n, given.task_id) for n, given in enumerate(candidates, first)]
    size = -(-len(made) // shards)
    row, per_task = 0, dict.fromkeys((given.task_id for given in candidates), 0)
    samples, first_rows = [], []
    for candidate, given in zip(made, candidates, strict=True):
        first_rows.append(row)
        for _ in range(given.samples):
            samples.append(
                {
                    "row": row,
                    "file": "corpus.jsonl",
                    "file_row": row,
                    "task_id": given.task_id,
                    "sample": per_task[given.task_id],
                    "candidate_id": candidate.candidate_id,
                }
            )
            row += 1
            per_task[given.task_id] += 1
    seconds = 0
    with CandidateWriter(run.candidates(0)) as writer:
        for shard in range(shards):
            part = slice(shard * size, (shard + 1) * size)
            writer.write_shard(
                [(c.candidate_id, r, c) for c, r in zip(made[part], first_rows[part], strict=True)]
            )
    for shard in range(shards):
        part = slice(shard * size, (shard + 1) * size)
        store = ShardStore(run, 0, shard, writer="made")
        for candidate, given in zip(made[part], candidates[part], strict=True):
            for n, verdict in enumerate(given.verdicts):
                round_, place = divmod(n, len(environments))
                columns = {"shard": shard, "task_id": given.task_id, "verdict": verdict}
                columns["environment"] = environments[place]
                columns["started_at"] = START + timedelta(seconds=seconds)
                seconds += 1
                store.append(
                    make_row(candidate.candidate_id, round_, **{**columns, **given.columns})
                )
        if finish:
            store.finish()
        else:
            store.close()
    write_table(run.samples, pa.Table.from_pylist(samples, schema=SAMPLES))
    columns_ = REJECTED.names
    bad = [dict(zip(columns_, values, strict=True)) for values in rejected]
    write_table(run.rejected, pa.Table.from_pylist(bad, schema=REJECTED))
    write_info(run, make_info(len(samples), len(made), len(rejected), shards, rounds, environments))
    return run


def make_info(
    samples: int,
    candidates: int,
    rejected: int,
    shards: int,
    rounds: int,
    environments: Sequence[str] = ("py311",),
) -> RunInfo:
    given: dict[str, Any] = {
        "run_id": "made",
        "created_at": START,
        "hpc_runner": "0.1.0",
        "schema_version": SCHEMA_VERSION,
        "config": RunConfig(corpus=("/corpus.jsonl",), rounds=rounds),
        "format": "native",
        "corpus_digest": hashlib.sha256(b"corpus").hexdigest(),
        "samples": samples,
        "candidates": candidates,
        "duplicates": samples - candidates,
        "rejected": rejected,
        "shards": shards,
        "runtime": "local",
        "runtime_reason": "it was asked for",
        "environments": [EnvironmentInfo(name=name) for name in environments],
        "host": "node1",
    }
    return RunInfo(**{name: given[name] for name in RunInfo.model_fields if name in given})
