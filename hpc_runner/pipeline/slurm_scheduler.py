"""Shards as tasks of Slurm's job arrays.

What has been submitted stands on the disk (arrays.py), what becomes of it is asked of squeue,
for the whole run in one call.  A coordinator that starts anew therefore knows what its
predecessors did, and an array whose submission nobody saw the end of is looked for by its name
before it is submitted again.

States are hints.  A job that Slurm may start again has not ended; one that has vanished from the
queue is taken for lost only when Slurm would have forgotten it by then.  Whether a task that runs
is alive is not asked here: the coordinator watches heartbeats and calls ``abandon``.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpc_runner.errors import ConfigError, SchedulerBusy, SchedulerError, SchedulerFull
from hpc_runner.pipeline.arrays import (
    Array,
    ArrayOptions,
    Ending,
    ending_path,
    job_prefix,
    new_array,
    read_array,
    slurm_log,
    write_array,
)
from hpc_runner.pipeline.job_states import Reading, cause, reading
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause, cause_of_exit
from hpc_runner.pipeline.slurm import Job, Slurm
from hpc_runner.pipeline.submission import submit_array
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["SlurmScheduler"]

POLL_S = 5.0
PATIENCE_S = 900.0
"""How long Slurm may be silent, or refuse an array for now, until the run stops."""
REQUEUE_S = 60.0
"""What Slurm gets to requeue a job that has ended in a way that it is requeued after."""
SETTLE_S = 30.0
"""After a submission of which nobody knows the end: until it is clear that Slurm hasn't got it."""
FULL_S = 30.0
"""Until it is tried again whether Slurm takes more jobs of ours."""
END_S = 60.0
"""After a kill: then whatever squeue says, nothing of it is waited for."""

_WELL = Ending(0, 0, Cause.DONE.value, "its worker ended well", None)

Key = tuple[int, int, int]
"""wave, number of the array, index."""


@dataclass
class _Task:
    """One task of an array, and what is known of it."""

    job: Job | None = None
    missing_since: float | None = None  # time.monotonic()
    requeue_since: float | None = None
    attempt: Attempt | None = None


class SlurmScheduler:
    """A run's job arrays.  Not safe for use from several threads, except ``wake``.

    ``submit`` hands an array to Slurm and returns its job id; it raises as ``submit_array``.
    Slurm not answering is borne with for ``PATIENCE_S``; then methods raise ``SchedulerError``.
    """

    def __init__(
        self,
        run: RunDir,
        options: ArrayOptions,
        *,
        slurm: Slurm | None = None,
        submit: Callable[[RunDir, Array], int] = submit_array,
        poll_s: float = POLL_S,
    ) -> None:
        self._run = run
        self._run_id = read_info(run).run_id
        self._options = options
        self._slurm = slurm or Slurm()
        self._submit = submit
        self._poll_s = poll_s
        self._arrays = {key: read_array(run, *key) for key in run.arrays()}
        self._tasks: dict[Key, _Task] = defaultdict(_Task)
        self._closed: dict[tuple[int, int], list[Attempt]] = {}
        self._past: list[Attempt] = []  # attempts before a requeue
        self._next_look = 0.0
        self._busy_since: float | None = None
        self._try_again: dict[tuple[int, int], float] = {}
        self._size = 1 << 30  # tasks in an array, by what was taken so far
        self._full_until = 0.0
        self._cancelled = False
        self._killed_at: float | None = None
        self._woken = threading.Event()

    # -- the seam

    def submit(
        self, run: RunDir, wave: int, shards: Sequence[int], *, exclude: Sequence[str] = ()
    ) -> None:
        if self._cancelled:
            return
        self._look()
        taken = {
            attempt.shard
            for attempt in self.attempts()
            if attempt.wave == wave and attempt.state is not AttemptState.ENDED
        }
        wanted = [shard for shard in dict.fromkeys(shards) if shard not in taken]
        while wanted and time.monotonic() >= self._full_until:
            try:
                size = min(self._slurm.limits().array_size, self._size)
            except SchedulerBusy as busy:
                self._bear(busy)
                return
            some = wanted[:size]
            number = max((n for w, n in self._arrays if w == wave), default=-1) + 1
            array = new_array(run, self._run_id, wave, number, some, self._options, exclude)
            write_array(run, array)
            self._arrays[wave, number] = array
            if self._hand_over(array):
                wanted = wanted[size:]

    def attempts(self) -> list[Attempt]:
        self._look()
        found = list(self._past)
        for key, array in self._arrays.items():
            if array.closed:
                found += self._closed.setdefault(key, _closed(array))
                continue
            for index in range(len(array.shards)):
                found.append(self._tasks[*key, index].attempt or _unseen(array, index))
        return found

    def abandon(self, ids: Sequence[str]) -> None:
        gone: list[str] = []
        for task in self._tasks.values():
            attempt = task.attempt
            if attempt is None or attempt.id not in ids or attempt.state is AttemptState.ENDED:
                continue
            self._end(task, Cause.LOST, "it was given up")
            if task.job is not None:
                gone.append(task.job.id)
        self._scancel(gone)

    def wait(self, timeout_s: float) -> None:
        if self._woken.wait(max(0.0, timeout_s)):
            self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def cancel(self, *, kill: bool = False) -> None:
        self._cancelled = True
        self._next_look = 0.0
        self._look()
        alive = self._alive()
        if kill:
            self._killed_at = time.monotonic()
            self._scancel(alive, signal="KILL")
        self._scancel(alive)
        self._next_look = 0.0

    @property
    def running(self) -> int:
        if self._killed_at is not None and time.monotonic() > self._killed_at + END_S:
            return 0
        self._look()
        return len(self._alive())

    # -- submitting

    def _hand_over(self, array: Array) -> bool:
        """Give an array to Slurm.  False when Slurm takes no more for now; when it isn't clear
        whether it was taken, ``_find`` sees to it."""
        key = (array.wave, array.number)
        try:
            job_id = self._submit(self._run, array)
        except SchedulerFull as full:
            self._forget(key)
            alive = bool(self._alive())
            if len(array.shards) == 1 and not alive:
                raise SchedulerError(f"not even one array task is taken: {full}") from full
            self._size = max(1, len(array.shards) // 2)
            self._full_until = time.monotonic() + (FULL_S if alive else 0.0)
            return False
        except SchedulerBusy as busy:
            self._try_again[key] = time.monotonic() + SETTLE_S
            self._bear(busy)
            return True
        except (SchedulerError, ConfigError):
            self._forget(key)
            raise
        self._arrays[key] = replace(array, job_id=job_id)
        write_array(self._run, self._arrays[key])
        return True

    def _forget(self, key: tuple[int, int]) -> None:
        """Of an array that was refused: nobody has it, and nobody shall look for it."""
        self._run.array(*key).unlink(missing_ok=True)
        shutil.rmtree(self._run.array_files(*key), ignore_errors=True)
        del self._arrays[key]

    def _find(self, jobs: Sequence[Job]) -> None:
        """Arrays whose job id nobody wrote down, and those that Slurm has twice."""
        ids: dict[str, set[int]] = defaultdict(set)
        for job in jobs:
            ids[job.name].add(job.array)
        for key, array in list(self._arrays.items()):
            found = sorted(ids.get(array.name, ()))
            if array.job_id is None and found:
                array = self._arrays[key] = replace(array, job_id=found[0])
                write_array(self._run, array)
            elif array.job_id is None and not self._cancelled:
                # What an earlier coordinator left may have reached Slurm in this very moment.
                now = time.monotonic()
                if now >= self._try_again.setdefault(key, now + self._settled_s(array)):
                    self._hand_over(array)
            self._scancel([str(other) for other in found if other != array.job_id])

    def _settled_s(self, array: Array) -> float:
        return min(SETTLE_S, max(0.0, array.created_at + SETTLE_S - time.time()))

    # -- looking

    def _look(self) -> None:
        """Ask squeue, if it is time to."""
        now = time.monotonic()
        if now < self._next_look:
            return
        if all(array.closed for array in self._arrays.values()):
            return
        self._next_look = now + self._poll_s
        try:
            jobs = self._slurm.queue(job_prefix(self._run_id))
            forgets_s = float(self._slurm.limits().min_job_age_s)
            # After the queue: what had ended then has left its result by now.
            finished = {wave: self._run.finished_shards(wave) for wave, _ in self._arrays}
            self._find(jobs)
        except SchedulerBusy as busy:
            self._bear(busy)
            return
        self._busy_since = None
        known = {(job.array, job.index): job for job in jobs}
        held: list[str] = []
        for key, array in self._arrays.items():
            if array.closed or array.job_id is None:
                continue
            for index, shard in enumerate(array.shards):
                task = self._tasks[*key, index]
                job = known.get((array.job_id, index))
                if job is not None:
                    held += self._see(array, task, job)
                elif not _has_ended(task):
                    done = shard in finished[array.wave]
                    self._miss(array, task, index, done=done, forgets_s=forgets_s)
        self._scancel(held)
        self._close_arrays()
        # Of a long queue, no more often than costs it a twentieth of its time.
        ended = time.monotonic()
        self._next_look = ended + max(self._poll_s, 20 * (ended - now))

    def _see(self, array: Array, task: _Task, job: Job) -> list[str]:
        """squeue tells of a task; returns what is to be cancelled."""
        before, task.job, task.missing_since = task.job, job, None
        assert job.index is not None
        identity = _identity(job.array, job.index, job.restarts)
        if task.attempt is not None and task.attempt.id != identity:
            if not _has_ended(task) and before is not None:
                self._past.append(_ended(task.attempt, Cause.LOST, "Slurm started it again"))
            task.attempt, task.requeue_since = None, None
        if task.attempt is not None and _has_ended(task):
            return []
        shard = array.shards[job.index]
        node = job.node or (task.attempt.node if task.attempt else None)
        running = reading(job) is Reading.RUNNING
        state = AttemptState.RUNNING if running else AttemptState.QUEUED
        task.attempt = Attempt(identity, array.wave, shard, state, node=node)
        meaning = reading(job)
        if meaning in (Reading.QUEUED, Reading.RUNNING):
            task.requeue_since = None
            return []
        if meaning is Reading.MAY_RETURN:
            now = time.monotonic()
            task.requeue_since = task.requeue_since or now
            if now - task.requeue_since < REQUEUE_S:
                return []
        self._end(task, *self._cause(array, job))
        return [] if meaning is Reading.ENDED else [job.id]

    def _miss(self, array: Array, task: _Task, index: int, *, done: bool, forgets_s: float) -> None:
        """squeue knows nothing of a task that hasn't ended as far as we know."""
        now = time.monotonic()
        task.missing_since = task.missing_since or now
        age_s = now - task.missing_since
        if task.job is None:
            age_s = max(age_s, time.time() - array.created_at)
        restarts = task.job.restarts if task.job is not None else 0
        node = task.attempt.node if task.attempt is not None else None
        assert array.job_id is not None
        identity = _identity(array.job_id, index, restarts)
        shard = array.shards[index]
        task.attempt = Attempt(identity, array.wave, shard, AttemptState.QUEUED, node=node)
        if done:
            self._end(task, Cause.DONE, "its shard is finished")
            return
        if age_s <= min(forgets_s, PATIENCE_S):
            return
        ending = self._told(array, index)
        if ending is not None:
            cause, detail = cause_of_exit(ending)
        elif slurm_log(self._run, array, index).exists():
            cause, detail = Cause.FAILED, "its worker died, and Slurm has forgotten how"
        else:
            cause, detail = Cause.LOST, "Slurm knows it no more"
        self._end(task, cause, detail)

    def _cause(self, array: Array, job: Job) -> tuple[Cause, str]:
        assert job.index is not None
        code = self._told(array, job.index)
        if code is not None:
            return cause_of_exit(code)
        why, detail = cause(job)
        if why is Cause.FAILED:
            said = _last_words(slurm_log(self._run, array, job.index))
            detail += f"; Slurm's log ends: {said}" if said else ""
        return why, detail

    def _told(self, array: Array, index: int) -> int | None:
        """The exit code that the last attempt of a task left behind."""
        task = self._tasks[array.wave, array.number, index]
        restarts = task.job.restarts if task.job is not None else 0
        try:
            content = json.loads(ending_path(self._run, array, index, restarts).read_bytes())
            return int(content["code"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _close_arrays(self) -> None:
        """Write down how the tasks of arrays that are over ended, and drop their files."""
        for key, array in self._arrays.items():
            if array.closed or array.job_id is None:
                continue
            tasks = [self._tasks[*key, index] for index in range(len(array.shards))]
            if not all(_has_ended(task) for task in tasks):
                continue
            endings = []
            for index, task in enumerate(tasks):
                attempt = task.attempt
                if attempt is not None and attempt.cause not in (None, Cause.DONE):
                    restarts = task.job.restarts if task.job is not None else 0
                    detail, node = attempt.detail, attempt.node
                    assert attempt.cause is not None
                    endings.append(Ending(index, restarts, attempt.cause.value, detail, node))
            closed = replace(array, closed=True, endings=tuple(endings))
            write_array(self._run, closed)
            self._arrays[key] = closed
            shutil.rmtree(self._run.array_files(*key), ignore_errors=True)

    # -- small things

    def _end(self, task: _Task, cause: Cause, detail: str) -> None:
        assert task.attempt is not None
        task.attempt = _ended(task.attempt, cause, detail)

    def _alive(self) -> list[str]:
        """Ids of jobs that are queued or run and whose shards have no result."""
        found = []
        for (wave, number, index), task in self._tasks.items():
            if task.job is None or task.attempt is None or _has_ended(task):
                continue
            shard = self._arrays[wave, number].shards[index]
            if not self._run.result(wave, shard).exists():
                found.append(task.job.id)
        return found

    def _scancel(self, ids: Sequence[str], *, signal: str | None = None) -> None:
        if not ids:
            return
        try:
            self._slurm.cancel(ids, signal=signal)
        except SchedulerBusy as busy:
            self._bear(busy)

    def _bear(self, busy: SchedulerBusy) -> None:
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if now - self._busy_since > PATIENCE_S:
            raise SchedulerError(
                f"Slurm hasn't been of use for {PATIENCE_S / 60:.0f} minutes: {busy}. "
                f"What is submitted runs on; `hpc-runner resume {self._run.root}` goes on with it"
            ) from busy


def _identity(job_id: int, index: int, restarts: int) -> str:
    return f"{job_id}_{index}" + (f".{restarts}" if restarts else "")


def _has_ended(task: _Task) -> bool:
    return task.attempt is not None and task.attempt.state is AttemptState.ENDED


def _ended(attempt: Attempt, cause: Cause, detail: str) -> Attempt:
    return replace(attempt, state=AttemptState.ENDED, cause=cause, detail=detail)


def _unseen(array: Array, index: int) -> Attempt:
    """Of a task that nobody has found in the queue yet."""
    identity = f"{array.name}_{index}"
    if array.job_id is not None:
        identity = _identity(array.job_id, index, 0)
    return Attempt(identity, array.wave, array.shards[index], AttemptState.QUEUED)


def _closed(array: Array) -> list[Attempt]:
    """How the tasks of an array ended, as it was written down."""
    assert array.job_id is not None
    endings = {ending.index: ending for ending in array.endings}
    found = []
    for index, shard in enumerate(array.shards):
        told = endings.get(index, _WELL)
        identity = _identity(array.job_id, index, told.restarts)
        attempt = Attempt(identity, array.wave, shard, AttemptState.QUEUED, node=told.node)
        found.append(_ended(attempt, Cause(told.cause), told.detail))
    return found


def _last_words(log: Path) -> str:
    """The last line that Slurm itself wrote."""
    try:
        text = log.read_bytes()[-4096:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if "error" in line.lower()]
    return lines[-1][:300] if lines else ""
