"""A cluster in a directory: what was submitted survives the coordinator, as with Slurm.

Nothing runs by itself: ``wait`` runs one shard with the stand-in's work, in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import standin

from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

Ending = tuple[Cause | None, str, str]
"""Cause, detail, node; without a cause the task goes on for ever."""
How = Callable[[RunDir, int, int, int], Ending]
"""Run a shard: run, wave, shard, how often it was tried before."""


class Died(Exception):
    """A candidate has killed its worker."""


def die() -> None:
    raise Died


def well(run: RunDir, wave: int, shard: int, _before: int = 0) -> Ending:
    """The shard's work, done."""
    try:
        assert standin.work(run, wave, shard, die=die) == 0
    except Died:
        return Cause.FAILED, "its worker died of signal 9 (Killed)", "n1"
    return Cause.DONE, "its worker ended well", "n1"


class FileCluster:
    """Its queue is ``RUN/queue.json``; ``how`` decides what becomes of each task."""

    def __init__(self, run: RunDir, how: How = well) -> None:
        self._run, self._how = run, how
        self._path = run.root / "queue.json"
        self.submissions: list[tuple[int, tuple[int, ...], tuple[str, ...]]] = []
        """Wave, shards, excluded nodes, of this object's calls."""
        self.abandoned: list[str] = []
        self.running = 0

    def submit(
        self, run: RunDir, wave: int, shards: Sequence[int], *, exclude: Sequence[str] = ()
    ) -> None:
        queue = self._read()
        alive = {(t["wave"], t["shard"]) for t in queue if t["state"] != "ended"}
        self.submissions.append((wave, tuple(shards), tuple(exclude)))
        for shard in shards:
            if (wave, shard) not in alive:
                task = {"id": f"task-{len(queue)}", "wave": wave, "shard": shard}
                queue.append({**task, "state": "queued", "cause": None, "detail": "", "node": None})
        self._write(queue)

    def attempts(self) -> list[Attempt]:
        return [
            Attempt(
                task["id"], task["wave"], task["shard"], AttemptState(task["state"]),
                None if task["cause"] is None else Cause(task["cause"]),
                task["detail"], task["node"],
            )
            for task in self._read()
        ]  # fmt: skip

    def abandon(self, ids: Sequence[str]) -> None:
        self.abandoned += ids
        queue = self._read()
        for task in queue:
            if task["id"] in ids and task["state"] != "ended":
                task.update(state="ended", cause="lost", detail="it was given up")
        self._write(queue)

    def wait(self, timeout_s: float) -> None:
        queue = self._read()
        task = next((task for task in queue if task["state"] == "queued"), None)
        if task is None:
            return
        where = task["wave"], task["shard"]
        before = sum((t["wave"], t["shard"]) == where for t in queue if t["state"] == "ended")
        cause, detail, node = self._how(self._run, *where, before)
        state = "running" if cause is None else "ended"
        task.update(state=state, cause=cause, detail=detail, node=node)
        self._write(queue)

    def wake(self) -> None:
        return

    def cancel(self, *, kill: bool = False) -> None:
        return

    def _read(self) -> list[dict[str, Any]]:
        return json.loads(self._path.read_text())["tasks"] if self._path.exists() else []

    def _write(self, queue: list[dict[str, Any]]) -> None:
        write_json(self._path, {"tasks": queue}, durable=False)
