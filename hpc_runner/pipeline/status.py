"""How far a run is, from what lies on the disk; the coordinator is not asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.pipeline.lock import holder
from hpc_runner.results.heartbeat import read_heartbeats
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["Snapshot", "Watch"]


@dataclass(frozen=True)
class Snapshot:
    """One look at a run.  Executions that early stop made unnecessary count as done."""

    run_id: str
    phase: str
    """running | voting | stopped | cancelled | done"""
    executions: int
    done: int
    verdicts: dict[str, int]
    """Executions by verdict."""
    shards: int
    shards_finished: int
    in_flight: int
    """Executions that run now, by the workers' last word."""
    coordinator: str | None


class Watch:
    """Look at a run again and again; what is finished is read once.

    Raises ``RunError`` for a directory that is no run, ``StorageError``.
    """

    def __init__(self, run: RunDir, wave: int = 0) -> None:
        self._run = run
        self._wave = wave
        self._info = read_info(run)
        self._finished: dict[int, Counter[str]] = {}
        self._planned = [rows * self._info.executions_per_candidate for rows in _shards(run, wave)]

    def look(self) -> Snapshot:
        for shard in self._run.finished_shards(self._wave) - self._finished.keys():
            self._finished[shard] = _verdicts(self._run, self._wave, shard)
        done = sum(self._planned[shard] for shard in self._finished)
        verdicts: Counter[str] = sum(self._finished.values(), Counter())
        coordinator = holder(self._run)
        in_flight = 0
        for heartbeat in read_heartbeats(self._run, self._wave):
            if heartbeat.shard not in self._finished:
                done += heartbeat.done
                verdicts.update(heartbeat.verdicts)
                in_flight += heartbeat.in_flight if coordinator is not None else 0
        return Snapshot(
            run_id=self._info.run_id,
            phase=self._phase(coordinator is not None),
            executions=sum(self._planned),
            done=done,
            verdicts=dict(verdicts.most_common()),
            shards=self._info.shards,
            shards_finished=len(self._finished),
            in_flight=in_flight,
            coordinator=None if coordinator is None else str(coordinator),
        )

    def _phase(self, coordinated: bool) -> str:
        if self._run.summary.exists():
            return "done"
        if coordinated:
            return "voting" if len(self._finished) == self._info.shards else "running"
        return "cancelled" if self._run.cancelled.exists() else "stopped"


def _shards(run: RunDir, wave: int) -> list[int]:
    """Candidates in each shard."""
    path = run.candidates(wave)
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{path}: can't be read: {error}") from error


def _verdicts(run: RunDir, wave: int, shard: int) -> Counter[str]:
    path = run.result(wave, shard)
    try:
        column = pq.read_table(path, columns=["verdict"])["verdict"]
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: can't be read: {error}. Remove it and resume the run: its shard runs again"
        ) from error
    return Counter(str(verdict) for verdict in column.to_pylist())
