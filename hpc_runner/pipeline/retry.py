"""Run again what ended without a judgement.

The results stay keyed by (candidate, environment, round), and a candidate keeps
its wave and its shard: a shard with unjudged executions is opened again.  What was
judged becomes a part of the shard, as if a worker had just committed it; the rest
is missing, and the coordinator has it run.  Votes and summary are taken anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc_runner.errors import RunError, StorageError
from hpc_runner.model import Verdict
from hpc_runner.pipeline.lock import CoordinatorLock
from hpc_runner.pipeline.waves import take_back_votes
from hpc_runner.results.compact import take_apart
from hpc_runner.results.files import write_table
from hpc_runner.results.ledger import read_ledger, write_ledger
from hpc_runner.results.portion import remove_portion
from hpc_runner.results.schema import RESULTS
from hpc_runner.results.store import result_verdicts
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["Reopened", "reopen_unjudged"]

WRITER = "retry"
"""Whose part the judged rows become."""


@dataclass(frozen=True)
class Reopened:
    """What is going to run again."""

    shards: int
    candidates: int
    executions: int
    hopeless: int
    """Candidates left alone: their dependencies can't be had, which planning decided."""


def reopen_unjudged(run: RunDir) -> Reopened:
    """Make every execution that ended as ``internal_error`` one that is still to be done.

    It is safe to die in between: a shard is either as it was or open.  Shards that
    aren't finished are left alone.  Raises ``RunError`` when a coordinator works on the
    run, or it is no run, ``StorageError``.
    """
    read_info(run)
    shards, candidates, executions, hopeless = 0, set[bytes](), 0, set[bytes]()
    with CoordinatorLock(run):
        for wave in run.waves():
            opened = []
            for shard in _with_unjudged(run, wave):
                judged, unjudged, never = _parted(_read(run, wave, shard))
                hopeless |= _ids(never)
                if not unjudged.num_rows:
                    continue
                part = run.parts(wave, shard) / f"{WRITER}-0000.parquet"
                write_table(part, pa.concat_tables([judged, never]))
                candidates |= _ids(unjudged)
                executions += unjudged.num_rows
                opened.append(shard)
            _forget(run, wave, opened)
            if opened:
                take_back_votes(run)
            for shard in opened:
                _remove(run, wave, shard)
            shards += len(opened)
    return Reopened(shards, len(candidates), executions, len(hopeless))


def _with_unjudged(run: RunDir, wave: int) -> Iterator[int]:
    """Shards with an execution that ended as ``internal_error``; each has a file of its own."""
    for shards, path in run.result_files(wave):
        if result_verdicts(path)[Verdict.INTERNAL_ERROR.value]:
            if len(shards) == 1:
                yield shards.start
                continue
            take_apart(run, wave, shards)
            for shard in shards:
                if result_verdicts(run.result(wave, shard))[Verdict.INTERNAL_ERROR.value]:
                    yield shard


def _read(run: RunDir, wave: int, shard: int) -> pa.Table:
    path = run.result(wave, shard)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: can't be read: {error}. Remove it and resume the run: its shard runs again"
        ) from error
    if not table.schema.equals(RESULTS):
        raise RunError(
            f"{path} was written by another version of hpc-runner; use the one that made the run"
        )
    return table.replace_schema_metadata(RESULTS.metadata)


def _parted(table: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Judged, to be run again, and unjudged whatever is tried."""
    error = pc.field("verdict").cast(pa.string()) == Verdict.INTERNAL_ERROR.value
    never = error & (pc.field("judge").cast(pa.string()) == "dependencies")
    return table.filter(~error), table.filter(error & ~never), table.filter(never)


def _ids(table: pa.Table) -> set[bytes]:
    ids: list[Any] = table["candidate_id"].to_pylist()
    return set(ids)


def _forget(run: RunDir, wave: int, shards: Iterable[int]) -> None:
    """Candidates that were given up have another chance."""
    opened = set(shards)
    ledger = read_ledger(run, wave)
    left = [killer for killer in ledger.killers if killer.shard not in opened]
    if left != ledger.killers:
        ledger.killers = left
        write_ledger(run, wave, ledger)
    for shard in run.troubled_shards(wave) & opened:
        remove_portion(run, wave, shard)


def _remove(run: RunDir, wave: int, shard: int) -> None:
    path = run.result(wave, shard)
    try:
        path.unlink(missing_ok=True)
        run.tally(wave).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: can't be removed: {error.strerror}") from error
