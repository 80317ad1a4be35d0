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

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from hpc_runner.errors import ConfigError, SchedulerBusy, SchedulerError, SchedulerFull
from hpc_runner.pipeline.array_watch import ArrayWatch
from hpc_runner.pipeline.arrays import (
    Array,
    job_prefix,
    new_array,
    read_array,
    write_array,
)
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import Attempt, AttemptState
from hpc_runner.pipeline.slurm import Job, Slurm
from hpc_runner.pipeline.submission import submit_array
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["SlurmScheduler"]

POLL_S = 5.0
PATIENCE_S = 900.0
"""How long Slurm may be silent until the run stops."""
SETTLE_S = 30.0
"""After a submission of which nobody knows the end: until it is clear that Slurm hasn't got it."""
FULL_S = 30.0
"""Until it is tried again whether Slurm takes more jobs of ours."""
END_S = 60.0
"""After a kill: then whatever squeue says, nothing of it is waited for."""


class SlurmScheduler:
    """A run's job arrays.  Not safe for use from several threads, except ``wake``.

    ``submit`` hands an array to Slurm and returns its job id; it raises as ``submit_array``.
    Slurm not answering is borne with for ``PATIENCE_S``; then methods raise ``SchedulerError``.
    """

    def __init__(
        self,
        run: RunDir,
        profile: Profile,
        *,
        slurm: Slurm | None = None,
        submit: Callable[[RunDir, Array], int] = submit_array,
        poll_s: float = POLL_S,
    ) -> None:
        self._run = run
        self._run_id = read_info(run).run_id
        self._profile = profile
        self._slurm = slurm or Slurm()
        self._submit = submit
        self._poll_s = poll_s
        self._watches = {key: ArrayWatch(run, read_array(run, *key)) for key in run.arrays()}
        self._finished: dict[int, set[int]] = defaultdict(set)  # by wave, at the last look
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
            number = max((n for w, n in self._watches if w == wave), default=-1) + 1
            array = new_array(run, self._run_id, wave, number, some, self._profile, exclude)
            write_array(run, array)
            self._watches[wave, number] = ArrayWatch(run, array)
            if self._hand_over(array):
                wanted = wanted[size:]

    def attempts(self) -> list[Attempt]:
        self._look()
        return [attempt for watch in self._watches.values() for attempt in watch.attempts()]

    def abandon(self, ids: Sequence[str]) -> None:
        given_up = set(ids)
        self._scancel(
            job_id for watch in self._watches.values() for job_id in watch.abandon(given_up)
        )

    def wait(self, timeout_s: float) -> None:
        if self._woken.wait(max(0.0, timeout_s)):
            self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def cancel(self, *, kill: bool = False) -> None:
        self._cancelled = True
        self._next_look = 0.0
        self._look()
        alive = self._needed_ids()
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
        return sum(len(watch.needed(self._finished[key[0]])) for key, watch in self._open().items())

    def arrays(self) -> list[int] | None:
        """Job ids of the arrays that haven't ended; None while one's isn't known."""
        ids = [watch.array.job_id for watch in self._open().values() if not watch.over]
        known = [job_id for job_id in ids if job_id is not None]
        return known if len(known) == len(ids) else None

    # -- submitting

    def _hand_over(self, array: Array) -> bool:
        """Give an array to Slurm.  False when Slurm takes no more for now; when it isn't clear
        whether it was taken, ``_find`` sees to it."""
        key = (array.wave, array.number)
        try:
            job_id = self._submit(self._run, array)
        except SchedulerFull as full:
            self._forget(key)
            alive = bool(self._needed_ids())
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
        self._record(key, job_id)
        return True

    def _record(self, key: tuple[int, int], job_id: int) -> None:
        self._watches[key].has(job_id)
        write_array(self._run, self._watches[key].array)

    def _forget(self, key: tuple[int, int]) -> None:
        """Of an array that was refused: nobody has it, and nobody shall look for it."""
        self._run.array(*key).unlink(missing_ok=True)
        shutil.rmtree(self._run.array_files(*key), ignore_errors=True)
        del self._watches[key]

    def _find(self, jobs: Iterable[Job]) -> None:
        """Arrays whose job id nobody wrote down, and those that Slurm has twice."""
        ids: dict[str, set[int]] = defaultdict(set)
        for job in jobs:
            ids[job.name].add(job.array)
        for key, watch in list(self._watches.items()):
            array = watch.array
            found = sorted(ids.get(array.name, ()))
            if array.job_id is None and found:
                self._record(key, found[0])
            elif array.job_id is None and not self._cancelled:
                # What an earlier coordinator left may have reached Slurm in this very moment.
                now, settles_s = time.monotonic(), array.created_at + SETTLE_S - time.time()
                if now >= self._try_again.setdefault(key, now + min(SETTLE_S, settles_s)):
                    self._hand_over(array)
            self._scancel(str(other) for other in found if other != watch.array.job_id)

    # -- looking

    def _look(self) -> None:
        """Ask squeue, if it is time to."""
        began = time.monotonic()
        open_ = self._open()
        if began < self._next_look or not open_:
            return
        self._next_look = began + self._poll_s
        try:
            jobs = self._slurm.queue(job_prefix(self._run_id))
            forgets_s = float(self._slurm.limits().min_job_age_s)
            # After the queue: what had ended then has left its result by now.
            for wave in {wave for wave, _ in open_}:
                self._finished[wave] = self._run.finished_shards(wave)
            self._find(jobs)
        except SchedulerBusy as busy:
            self._bear(busy)
            return
        self._busy_since = None
        known: dict[int, dict[int | None, Job]] = defaultdict(dict)
        for job in jobs:
            known[job.array][job.index] = job
        for key, watch in open_.items():
            if watch.array.job_id is not None and key in self._watches:
                told = known[watch.array.job_id]
                self._scancel(watch.look(told, self._finished[key[0]], forgets_s))
                self._close(watch)
        # A long queue is a burden for Slurm and for us.
        took_s = time.monotonic() - began
        self._next_look += took_s + self._poll_s * max(0.0, 4 * took_s - 1)

    def _close(self, watch: ArrayWatch) -> None:
        """Write down how the tasks of an array that is over ended, and drop its files."""
        array = watch.array
        # At the end of a run nobody waits for what exits in a moment.
        done = self._cancelled and self._finished[array.wave].issuperset(array.shards)
        if done or watch.over:
            write_array(self._run, watch.closed())
            shutil.rmtree(self._run.array_files(array.wave, array.number), ignore_errors=True)

    def _open(self) -> dict[tuple[int, int], ArrayWatch]:
        return {key: watch for key, watch in self._watches.items() if not watch.array.closed}

    def _needed_ids(self) -> list[str]:
        found: list[str] = []
        for (wave, _), watch in self._open().items():
            found += watch.needed_ids(self._finished[wave])
        return found

    def _scancel(self, ids: Iterable[str], *, signal: str | None = None) -> None:
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
