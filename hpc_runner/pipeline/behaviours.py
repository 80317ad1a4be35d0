"""Selection by behaviour on generated inputs: the programs of a run are run on them first.

They are a run of their own, inside the first one's directory: the same samples, limits, policy
and sandbox; instead of the tests each program ends with calls of its function (corpus/inputs.py).
Made once, it is looked at again by every later selection with as many inputs and the same seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.config import CacheConfig, LimitOverrides, RefineConfig
from hpc_runner.corpus.inputs import examples, inputs, probe
from hpc_runner.corpus.readers import Sample
from hpc_runner.errors import ConfigError, RunError, StorageError
from hpc_runner.model import Candidate, NoTests
from hpc_runner.pipeline.coordinator import Phase, run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.candidates import read_shard, shard_count
from hpc_runner.results.select import Selection, select
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["select_by_inputs"]


@dataclass(frozen=True)
class _Programs:
    """A run's samples, to be run on inputs."""

    samples: Sequence[Sample]
    format: str = "native"

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def digest(self) -> bytes:
        ids = b"".join(sample.candidate.candidate_id for sample in self.samples)
        return hashlib.sha256(ids).digest()


def select_by_inputs(
    run: RunDir,
    count: int,
    seed: int,
    truth: RunDir | None,
    *,
    workers: int,
    progress: Callable[[str], None],
) -> Selection:
    """Choose a sample for each task by what its function makes of ``count`` inputs.

    Tasks whose tests name no function are judged by what ``behaviour`` looks at.  Raises
    ``ConfigError`` where that are all of them, ``RunError`` when it was stopped, and what
    planning, running and ``select`` raise.
    """
    below = run.behaviours(count, seed)
    if not below.summary.exists():
        _execute(run, below, count, seed, workers, progress)
    found = select(below, "inputs", truth)
    known = {(row["task_id"], row["sample"]): row["candidate_id"].hex() for row in _samples(run)}
    tasks = tuple(
        item.model_copy(update={"candidate_id": known.get((item.task_id, item.sample))})
        for item in found.tasks
    )
    return found.model_copy(update={"tasks": tasks})


def _execute(
    run: RunDir,
    below: RunDir,
    count: int,
    seed: int,
    workers: int,
    progress: Callable[[str], None],
) -> None:
    if not below.info.exists():
        programs = _Programs(list(_probes(run, count, seed)))
        config = read_info(run).config
        changes: dict[str, Any] = {
            "cache": CacheConfig(), "limits": LimitOverrides(), "refine": RefineConfig(),
            "workers": workers, "slots": 1, "rounds": 1, "extra_rounds": 0,
            "limit": None, "shard_size": None, "environments": config.environments[:1],
        }  # fmt: skip
        config = config.model_copy(update=changes)
        below.root.parent.mkdir(exist_ok=True)
        plan(below, config, progress=progress, corpus=programs)
    state = run_to_end(below, LocalScheduler(workers), on_change=lambda _: None, say=progress)
    if state.phase is not Phase.DONE:
        raise RunError(
            "stopped before all programs were run on the inputs; the same command goes on"
        )


def _probes(run: RunDir, count: int, seed: int) -> Iterator[Sample]:
    """The samples in their order."""
    candidates = {
        identity: candidate
        for path in (run.candidates(0), run.cached_candidates)
        if path.exists()
        for shard in range(shard_count(path))
        for identity, _, candidate in read_shard(path, shard)
    }
    known: dict[tuple[str, bytes], tuple[str, list[tuple[Any, ...]]] | None] = {}

    def one(candidate: Candidate) -> Candidate:
        key = (candidate.task_id, candidate.tests.model_dump_json().encode())
        if key not in known:
            found = examples(candidate.tests) if candidate.language == "python" else None
            seeded = f"{seed} {candidate.task_id}"
            known[key] = found and (found[0], inputs(found.arguments, count, seeded))
        given = known[key]
        if given is None:
            return candidate
        return candidate.model_copy(update={"code": probe(candidate, *given), "tests": NoTests()})

    samples = [
        Sample(row["file"], row["file_row"], one(candidates[row["candidate_id"]]))
        for row in _samples(run)
    ]
    if not any(known.values()):
        raise ConfigError(
            f"--method inputs: no test of {run.root} calls a function with plain values, so there"
            " is nothing to make inputs of; --method behaviour compares what programs print"
        )
    yield from samples


def _samples(run: RunDir) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(run.samples).sort_by("row").to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{run.samples}: can't be read: {error}") from error
    return rows
