"""Whether the cache's entries still hold: a sample of them is executed again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.config import CacheConfig, LimitOverrides
from hpc_runner.corpus.readers import Sample
from hpc_runner.errors import RunError, StorageError
from hpc_runner.pipeline.coordinator import Phase, run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.cache import Cache
from hpc_runner.results.candidates import read_shard, shard_count
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["Checked", "Difference", "check_entries"]


@dataclass(frozen=True)
class Difference:
    """An entry that doesn't hold any more."""

    key: bytes
    task_id: str
    cached: str
    found: str | None
    """The verdict now; None: unjudged, or no consensus."""


@dataclass
class Checked:
    """What came of a sample.  Counts are of entries."""

    entries: int = 0
    sampled: int = 0
    gone: int = 0
    """Sampled, but the run that they came from isn't there any more."""
    held: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class _Programs:
    """Candidates of an earlier run as a corpus."""

    samples: Sequence[Sample]
    format: str = "native"

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def digest(self) -> bytes:
        ids = b"".join(sample.candidate.candidate_id for sample in self.samples)
        return hashlib.sha256(ids).digest()


def check_entries(
    cache: Cache, share: float, *, workers: int, progress: Callable[[str], None]
) -> Checked:
    """Execute ``share`` of the entries again, each as the run did that it came from.

    Which ones is decided by their keys: the same share of the same cache is the same
    entries.  Raises what planning and running raise.
    """
    entries = cache.query("SELECT DISTINCT key FROM entries").num_rows
    picked = cache.query(
        "SELECT key, verdict, source, source_wave, source_candidate FROM entries "
        "WHERE hash(entries.key) % 1000000 < $share * 1000000 ORDER BY source, entries.key",
        {"share": share},
    ).to_pylist()
    checked = Checked(entries=entries, sampled=len(picked))
    by_source: dict[str, list[dict[str, Any]]] = {}
    for entry in picked:
        by_source.setdefault(entry["source"], []).append(entry)
    for source, found in by_source.items():
        progress(f"{len(found):,} entries of {source}")
        _check_source(RunDir(Path(source)), found, checked, workers, progress)
    return checked


def _check_source(
    source: RunDir,
    entries: Sequence[dict[str, Any]],
    checked: Checked,
    workers: int,
    progress: Callable[[str], None],
) -> None:
    wanted = {entry["source_candidate"]: entry for entry in entries}
    try:
        config = read_info(source).config
        samples = [
            Sample(str(source.candidates(wave)), row, candidate)
            for wave in sorted({entry["source_wave"] for entry in entries})
            for identity, row, candidate in _candidates(source, wave)
            if identity in wanted
        ]
    except (RunError, StorageError):
        samples = []
    checked.gone += len(wanted) - len(samples)
    if not samples:
        return
    changes = {"cache": CacheConfig(), "limits": LimitOverrides(), "workers": workers}
    again = config.model_copy(update=changes | {"limit": None, "shard_size": None, "dedup": True})
    with TemporaryDirectory(prefix="hpc-runner-check-") as scratch:
        run = RunDir(Path(scratch) / "run")
        plan(run, again, progress=progress, corpus=_Programs(samples))
        state = run_to_end(
            run, LocalScheduler(workers), on_change=lambda _state: None, say=progress
        )
        if state.phase is not Phase.DONE:
            raise RunError("stopped before the sample was executed")
        votes = _votes(run)
    for sample in samples:
        entry, found = wanted[sample.candidate.candidate_id], votes[sample.candidate.candidate_id]
        if found == entry["verdict"]:
            checked.held += 1
        else:
            checked.differences.append(
                Difference(entry["key"], sample.candidate.task_id, entry["verdict"], found)
            )


def _candidates(run: RunDir, wave: int) -> Iterator[tuple[bytes, int, Any]]:
    path = run.candidates(wave)
    for shard in range(shard_count(path)):
        yield from read_shard(path, shard)


def _votes(run: RunDir) -> dict[bytes, str | None]:
    """The verdict of each candidate, None without consensus."""
    try:
        rows = pq.read_table(run.votes, columns=["candidate_id", "verdict", "consensus"])
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{run.votes}: can't be read: {error}") from error
    return {
        row["candidate_id"]: row["verdict"] if row["consensus"] else None
        for row in rows.to_pylist()
    }
