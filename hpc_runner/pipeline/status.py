"""How far a run is, from what lies on the disk; the coordinator is not asked."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from hpc_runner.errors import StorageError
from hpc_runner.pipeline.chain import read_record
from hpc_runner.pipeline.lock import holder
from hpc_runner.results.candidates import shard_sizes
from hpc_runner.results.files import write_json
from hpc_runner.results.heartbeat import Heartbeat, read_heartbeats
from hpc_runner.results.store import result_verdicts
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["JOBS", "Snapshot", "Watch", "submitted"]

JOBS = "coordinated by Slurm jobs"

WORTH_KEEPING = 200
"""Results counted anew: then the count is kept on the disk for others."""
READERS = 8
RECENT_S = 60.0
"""A worker that spoke so long ago still runs, where no coordinator need be alive: on a cluster."""


@dataclass(frozen=True)
class Snapshot:
    """One look at a run, all waves together.  Executions that early stop made unnecessary
    count as done."""

    run_id: str
    phase: str
    """planning | running | voting | stopped | cancelled | done"""
    wave: int
    """The last one that has candidates."""
    executions: int
    done: int
    verdicts: dict[str, int]
    """Executions by verdict."""
    shards: int
    shards_finished: int
    in_flight: int
    """Executions that run now, by the workers' last word."""
    coordinator: str | None
    reason: str | None = None
    """Why the run stopped, where somebody has written it down."""


def submitted(run: RunDir) -> Snapshot | None:
    """Of a run whose first coordinator, a Slurm job, hasn't planned it yet; else None."""
    if run.info.exists() or (record := read_record(run)) is None:
        return None
    phase = "planning" if record.stopped is None else "stopped"
    if run.cancelled.exists():
        phase = "cancelled"
    jobs = JOBS if phase == "planning" else None
    return Snapshot("", phase, 0, 0, 0, {}, 0, 0, 0, jobs, record.stopped)


class Watch:
    """Look at a run again and again; what is finished is counted once.

    Raises ``RunError`` for a directory that is no run, ``StorageError``.
    """

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._info = read_info(run)
        self._waves: dict[int, _Wave] = {}

    def look(self) -> Snapshot:
        run, info = self._run, self._info
        for wave in run.waves():
            if wave not in self._waves:
                self._waves[wave] = _Wave(run, wave, info.executions_per_candidate)
        waves = list(self._waves.values())
        verdicts: Counter[str] = Counter()
        beats: list[Heartbeat] = []
        for found in waves:
            found.look()
            beats += found.unfinished()
            verdicts.update(found.verdicts)
        for beat in beats:
            verdicts.update(beat.verdicts)
        coordinator, reason = self._coordinator()
        now = datetime.now(UTC)
        alive = [
            beat
            for beat in beats
            if coordinator not in (None, JOBS)
            or (run.profile.exists() and (now - beat.updated_at).total_seconds() < RECENT_S)
        ]
        return Snapshot(
            run_id=info.run_id,
            phase=self._phase(coordinator is not None or (alive and not run.cancelled.exists())),
            wave=max(self._waves),
            executions=sum(found.executions for found in waves),
            done=sum(found.done for found in waves) + sum(beat.done for beat in beats),
            verdicts=dict(verdicts.most_common()),
            shards=sum(len(found.sizes) for found in waves),
            shards_finished=sum(len(found.finished) for found in waves),
            in_flight=sum(beat.in_flight for beat in alive),
            coordinator=coordinator,
            reason=reason,
        )

    def _coordinator(self) -> tuple[str | None, str | None]:
        """Who coordinates, and why nobody does."""
        found = holder(self._run)
        if found is not None:
            return str(found), None
        record = read_record(self._run)
        if record is None or self._run.summary.exists() or self._run.cancelled.exists():
            return None, None
        # Between two of its jobs nobody holds the lock.
        return (JOBS, None) if record.stopped is None else (None, record.stopped)

    def _phase(self, alive: object) -> str:
        if self._run.summary.exists():
            return "done"
        if alive:
            complete = all(len(one.finished) == len(one.sizes) for one in self._waves.values())
            return "voting" if complete else "running"
        return "cancelled" if self._run.cancelled.exists() else "stopped"


class _Kept(BaseModel):
    """``tally.json``: what was counted of some finished shards."""

    model_config = ConfigDict(extra="forbid")

    shards: list[tuple[int, int]]
    """Their numbers as ranges, [first, end)."""
    verdicts: dict[str, int]


class _Wave:
    """What is known of a wave's finished shards."""

    def __init__(self, run: RunDir, wave: int, executions: int) -> None:
        self._run, self._wave = run, wave
        self._executions = executions  # of each candidate
        self.sizes = shard_sizes(run, wave)
        self.executions = sum(self.sizes) * executions
        self.finished: set[int] = set()
        self.verdicts: Counter[str] = Counter()
        self.done = 0
        self._unkept = 0
        try:
            kept = _Kept.model_validate_json(run.tally(wave).read_bytes())
        except (OSError, ValidationError):
            return
        self.finished = {shard for first, end in kept.shards for shard in range(first, end)}
        self.verdicts = Counter(kept.verdicts)

    def look(self) -> None:
        files = self._run.result_files(self._wave)
        found = {shard for shards, _ in files for shard in shards}
        # One has been taken away, or the files of known and of new ones were put together.
        if not found >= self.finished or any(
            0 < len(self.finished.intersection(shards)) < len(shards) for shards, _ in files
        ):
            self.finished, self.verdicts = set(), Counter()
        fresh = found - self.finished
        paths = [path for shards, path in files if not fresh.isdisjoint(shards)]
        # A file system across a network answers many questions as fast as one.
        with ThreadPoolExecutor(READERS) as pool:
            for verdicts in pool.map(result_verdicts, paths):
                self.verdicts.update(verdicts)
        self.finished = found
        self.done = self._executions * sum(self.sizes[shard] for shard in found)
        self._unkept += len(fresh)
        if self._unkept >= WORTH_KEEPING:
            self._unkept = 0
            self._keep()

    def unfinished(self) -> list[Heartbeat]:
        """The last words on the shards that aren't finished."""
        return read_heartbeats(self._run, self._wave, without=self.finished)

    def _keep(self) -> None:
        kept = _Kept(shards=_ranges(self.finished), verdicts=dict(self.verdicts))
        try:
            write_json(self._run.tally(self._wave), kept.model_dump(), durable=False)
        except StorageError:
            return  # somebody else's run: the next look counts again


def _ranges(numbers: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges
