"""What becomes of one job array: squeue's words, its tasks' own, and what lies on the disk."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpc_runner.pipeline.arrays import Array, Ending, ending_path, slurm_log
from hpc_runner.pipeline.job_states import Reading, cause, reading
from hpc_runner.pipeline.scheduler import (
    EXIT_STOPPED,
    Attempt,
    AttemptState,
    Cause,
    cause_of_exit,
)
from hpc_runner.pipeline.slurm import Job
from hpc_runner.rundir import RunDir

__all__ = ["ArrayWatch"]

REQUEUE_S = 60.0
"""What Slurm gets to requeue a job that has ended in a way that it is requeued after."""
ABSENT_S = 30.0
"""How long a task of an array that Slurm knows may be missing until it is believed."""
FORGETS_S = 900.0
"""Where Slurm remembers ended jobs for longer than this, what it doesn't know is not waited for."""


@dataclass
class _Task:
    attempt: Attempt
    restarts: int = 0
    seen: bool = False
    """In the queue, at some time, by this process."""
    missing_since: float | None = None  # time.monotonic()
    requeue_since: float | None = None

    @property
    def ended(self) -> bool:
        return self.attempt.state is AttemptState.ENDED

    def end(self, why: Cause, detail: str) -> None:
        self.attempt = _ended(self.attempt, why, detail)


class ArrayWatch:
    """Follows the tasks of an array from its submission until all have ended."""

    def __init__(self, run: RunDir, array: Array) -> None:
        self._run = run
        self.array = array
        self._tasks = [_Task(_queued(array, index, 0)) for index in range(len(array.shards))]
        self._past: list[Attempt] = []  # attempts that Slurm followed by another
        if array.closed:
            for task, ending in zip(self._tasks, array.endings, strict=True):
                task.restarts = ending.restarts
                task.attempt = replace(
                    _queued(array, ending.index, ending.restarts), node=ending.node
                )
                task.end(Cause(ending.cause), ending.detail)

    def has(self, job_id: int) -> None:
        """The array's job id is known now."""
        self.array = replace(self.array, job_id=job_id)
        self._tasks = [
            _Task(_queued(self.array, index, 0)) for index in range(len(self.array.shards))
        ]

    def attempts(self) -> list[Attempt]:
        return [*self._past, *(task.attempt for task in self._tasks)]

    @property
    def over(self) -> bool:
        return all(task.ended for task in self._tasks)

    def closed(self) -> Array:
        """The array with how its tasks ended; those that haven't left a result, and do so now."""
        endings = []
        for index, task in enumerate(self._tasks):
            if not task.ended:
                task.end(Cause.DONE, "its shard is finished")
            attempt = task.attempt
            assert attempt.cause is not None
            why = attempt.cause.value
            endings.append(Ending(index, task.restarts, why, attempt.detail, attempt.node))
        self.array = replace(self.array, closed=True, endings=tuple(endings))
        return self.array

    def needed(self, finished: Collection[int]) -> list[int]:
        """Indices of what is queued or runs and whose shards have no result."""
        left = [index for index, task in enumerate(self._tasks) if not task.ended]
        return [index for index in left if self.array.shards[index] not in finished]

    def needed_ids(self, finished: Collection[int]) -> list[str]:
        """The same for scancel; one id where that is all of the array that hasn't ended."""
        needed = self.needed(finished)
        if self.array.job_id is None:
            return []
        if needed and len(needed) == sum(not task.ended for task in self._tasks):
            return [str(self.array.job_id)]
        return [f"{self.array.job_id}_{index}" for index in needed]

    def abandon(self, ids: Collection[str]) -> list[str]:
        """Take attempts for lost; returns what is to be cancelled."""
        given_up = []
        for index, task in enumerate(self._tasks):
            if task.attempt.id in ids and not task.ended:
                task.end(Cause.LOST, "it was given up")
                if self.array.job_id is not None:
                    given_up.append(f"{self.array.job_id}_{index}")
        return given_up

    def look(
        self, jobs: Mapping[int | None, Job], finished: Collection[int], forgets_s: float
    ) -> list[str]:
        """Take in what squeue says of the array now (``jobs``, by index) and which shards have a
        result; returns the ids of jobs that nothing good is to be expected of any more.

        ``forgets_s`` is how long Slurm remembers what has ended.
        """
        useless: list[str] = []
        for index, task in enumerate(self._tasks):
            job = jobs.get(index)
            if job is not None:
                if not self._see(index, task, job):
                    useless.append(job.id)
            elif not task.ended:
                done = self.array.shards[index] in finished
                self._miss(index, task, done=done, others=bool(jobs), forgets_s=forgets_s)
        return useless

    def _see(self, index: int, task: _Task, job: Job) -> bool:
        """False when Slurm holds on to a job that won't run any more."""
        again = job.restarts != task.restarts
        if again:
            if not task.ended and task.seen:
                why, detail = Cause.LOST, "Slurm started it again"
                if self._told(index, task.restarts) == EXIT_STOPPED:
                    why, detail = Cause.STOPPED, "it had itself started again"
                self._past.append(_ended(task.attempt, why, detail))
            task.attempt, task.restarts = _queued(self.array, index, job.restarts), job.restarts
            task.requeue_since = None
        task.seen, task.missing_since = True, None
        if task.ended:
            return True
        meaning = reading(job)
        state = AttemptState.RUNNING if meaning is Reading.RUNNING else AttemptState.QUEUED
        task.attempt = replace(task.attempt, state=state, node=job.node or task.attempt.node)
        if meaning in (Reading.QUEUED, Reading.RUNNING):
            task.requeue_since = None
            return True
        if meaning is Reading.MAY_RETURN:
            now = time.monotonic()
            task.requeue_since = task.requeue_since or now
            if now - task.requeue_since < REQUEUE_S:
                return True
        task.end(*self._cause(index, task, job))
        return meaning is Reading.ENDED

    def _miss(self, index: int, task: _Task, *, done: bool, others: bool, forgets_s: float) -> None:
        """squeue doesn't know a task that hasn't ended as far as we know."""
        now = time.monotonic()
        task.missing_since = task.missing_since or now
        missing_s = now - task.missing_since
        waited = task.seen and task.attempt.state is AttemptState.QUEUED
        if not task.seen:
            waited = missing_s > ABSENT_S
            missing_s = max(missing_s, time.time() - self.array.created_at)
        if done:
            task.end(Cause.DONE, "its shard is finished")
        elif waited and others and missing_s < forgets_s:
            # It can't have run, ended and been forgotten: nothing else leaves no trace.
            task.end(Cause.STOPPED, "its job was cancelled while it waited")
        elif missing_s > min(forgets_s, FORGETS_S):
            task.end(*self._forgotten(index, task))

    def _forgotten(self, index: int, task: _Task) -> tuple[Cause, str]:
        code = self._told(index, task.restarts)
        if code is not None:
            return cause_of_exit(code)
        if slurm_log(self._run, self.array, index).exists():
            return Cause.FAILED, "its worker died, and Slurm has forgotten how"
        return Cause.LOST, "Slurm knows it no more"

    def _cause(self, index: int, task: _Task, job: Job) -> tuple[Cause, str]:
        # Most end well: nothing is looked for then.
        code = None if job.state == "COMPLETED" else self._told(index, task.restarts)
        if code is not None:
            return cause_of_exit(code)
        why, detail = cause(job)
        if why is Cause.FAILED:
            said = _last_words(slurm_log(self._run, self.array, index))
            detail += f"; Slurm's log ends: {said}" if said else ""
        return why, detail

    def _told(self, index: int, restarts: int) -> int | None:
        """The exit code that an attempt left behind itself."""
        try:
            content = json.loads(ending_path(self._run, self.array, index, restarts).read_bytes())
            return int(content["code"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _queued(array: Array, index: int, restarts: int) -> Attempt:
    """An attempt before anything is known of it; its id is the job's, if there is one."""
    name = f"{array.name}_{index}"
    if array.job_id is not None:
        name = f"{array.job_id}_{index}" + (f".{restarts}" if restarts else "")
    return Attempt(name, array.wave, array.shards[index], AttemptState.QUEUED)


def _ended(attempt: Attempt, why: Cause, detail: str) -> Attempt:
    return replace(attempt, state=AttemptState.ENDED, cause=why, detail=detail)


def _last_words(log: Path) -> str:
    """The last complaint in what Slurm and submitit have printed."""
    try:
        text = log.read_bytes()[-4096:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if "error" in line.lower()]
    return lines[-1][:300] if lines else ""
