"""A look at array tasks while no coordinator runs (chain.py): ``python -m ...watch_job RUN``.

A task that Slurm takes for running, but whose worker has said nothing since the look before, the
profile's ``coordinator.watch`` minutes ago, is dead, or as good as that: it is cancelled, and so
is one that Slurm holds and won't start again.  When all tasks of the arrays have ended, the
coordinator that waits for them starts, and submits the shard again.  Where no coordinator is
queued, because an administrator has taken it away, say, one is queued now.

No clock is compared: the time of a heartbeat file is only held against what it was.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hpc_runner.errors import HpcRunnerError
from hpc_runner.pipeline.arrays import job_prefix, read_array
from hpc_runner.pipeline.chain import Chain, read_record
from hpc_runner.pipeline.job_states import Reading, reading
from hpc_runner.pipeline.profile_files import read_profile
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["look", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    (root,) = sys.argv[1:] if arguments is None else arguments
    try:
        look(RunDir(Path(root)), int(os.environ["SLURM_JOB_ID"]), Slurm())
    except HpcRunnerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def look(run: RunDir, me: int, slurm: Slurm) -> list[str]:
    """Cancel what is dead, and have job ``me`` followed by another one while tasks are left.

    Returns the ids of what was cancelled.  Raises ``RunError``, ``SchedulerError``,
    ``StorageError``.
    """
    profile = read_profile(run)
    if profile is None or run.cancelled.exists() or run.summary.exists():
        return []
    shards = {
        array.job_id: array
        for array in (read_array(run, *key) for key in run.arrays())
        if array.job_id is not None and not array.closed
    }
    tasks = [
        job
        for job in slurm.queue(job_prefix(read_info(run).run_id))
        if job.array in shards and job.index is not None and reading(job) is not Reading.ENDED
    ]
    before, seen, dead = _before(run), {}, []
    for job in tasks:
        if reading(job) is Reading.HELD:
            dead.append(job.id)
            print(f"{job.id} is held: {job.reason}", flush=True)
        if job.state != "RUNNING":
            continue
        array = shards[job.array]
        assert job.index is not None
        attempt = f"{job.id}.{job.restarts}"
        seen[attempt] = _beat(run, array.wave, array.shards[job.index])
        if attempt in before and before[attempt] == seen[attempt]:
            dead.append(job.id)
            print(f"{job.id} on {job.node} has said nothing since the last look", flush=True)
    write_json(run.watch, seen, indent=None)
    slurm.cancel(dead)
    record, chain = read_record(run), Chain(run, profile, slurm)
    if record is not None and record.stopped is None:
        chain.ensure()
        if tasks:
            chain.watch(besides=me)
    return dead


def _before(run: RunDir) -> dict[str, int | None]:
    try:
        found = json.loads(run.watch.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _beat(run: RunDir, wave: int, shard: int) -> int | None:
    try:
        return run.heartbeat(wave, shard).stat().st_mtime_ns
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
