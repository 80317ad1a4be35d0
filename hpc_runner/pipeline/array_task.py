"""What an array task runs: the worker of one shard, in this process.

submitit calls ``main`` with a run's directory and two integers; which shard it is follows from
the array's index and ``arrays/KKKK.json``.  The process ends here, by ``SystemExit``, so that
submitit writes nothing: the result file says that the shard is finished, and ``ending_path``
says why it isn't.

Told to stop (SIGTERM before a preemption or a cancellation, SIGUSR2 before the time limit) the
worker commits and returns.  Then Slurm is asked about this very job.  If it is still meant to
run, it is requeued under its own id, which loses nothing and needs no coordinator; a job that
was cancelled is left to end.  An attempt whose time was up before anything was finished is not
repeated by itself: the coordinator has to know.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hpc_runner.errors import HpcRunnerError
from hpc_runner.pipeline.arrays import Array, ending_path, read_array, signal_delay_s, spread_s
from hpc_runner.pipeline.chain import Chain
from hpc_runner.pipeline.profile_files import read_profile
from hpc_runner.pipeline.scheduler import EXIT_STOPPED, EXIT_TIME_UP, worker_environment
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.results.candidates import shard_sizes
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

__all__ = ["main"]

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_MEANT_TO_RUN = ("RUNNING", "SIGNALING", "SUSPENDED", "STOPPED")
_SLURM_S = 20.0
"""For a command: Slurm gives a job that it stops half a minute, mostly."""
_END_S = 60.0
"""Until a job that was requeued is killed."""
_EARLY_S = 75.0
"""By which Slurm may warn earlier than it was asked to."""

Parts = frozenset[tuple[str, int]]
"""Name and size of each file."""


class _Stop(BaseException):
    """Told to stop before there was anything to commit."""


def main(root: str, wave: int, number: int) -> NoReturn:
    """Run the shard of this array task; never returns."""
    began = time.monotonic()
    index = int(os.environ["SLURM_ARRAY_TASK_ID"])
    for name in os.environ.keys() - worker_environment(os.environ).keys():
        del os.environ[name]
    run = RunDir(Path(root))
    array = read_array(run, wave, number)
    shard = array.shards[index]
    _log_to(run.log(wave, shard))
    before = _parts(run, wave, shard)
    code = _worker(run, array, index)
    if code == EXIT_STOPPED and not run.cancelled.exists():
        code = _go_on_later(run, array, index, before, began)
    if code != 0:
        _tell(run, array, index, code)
    _check_chain(run, wave, code)
    raise SystemExit(code)


def _worker(run: RunDir, array: Array, index: int) -> int:
    shard = array.shards[index]
    try:
        with _stoppable():
            if run.is_finished(array.wave, shard):
                return 0
            time.sleep(spread_s(index, len(array.shards), array.parallel))
            from hpc_runner.sandbox import worker

            # From here on signals are the worker's.
            return worker.main([str(run.root), str(array.wave), str(shard)])
    except _Stop:
        return EXIT_STOPPED


@contextmanager
def _stoppable() -> Iterator[None]:
    def stop(number: int, _frame: object) -> None:
        raise _Stop(number)

    for number in _STOPS:
        signal.signal(number, stop)
    signal.signal(signal.SIGCONT, signal.SIG_DFL)  # comes with every one of Slurm's
    try:
        yield
    finally:
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)


def _go_on_later(run: RunDir, array: Array, index: int, before: Parts, began: float) -> int:
    """Have Slurm start this job again later, if it is meant to; the exit code, if that fails."""
    time_min = array.parameters["time"]
    nearly_s = time_min * 60 - signal_delay_s(time_min) - _EARLY_S
    time_up = time.monotonic() - began > max(nearly_s, time_min * 60 / 6)
    if time_up and _parts(run, array.wave, array.shards[index]) == before:
        return EXIT_TIME_UP
    slurm = Slurm(deadline_s=_SLURM_S)
    mine = os.environ["SLURM_JOB_ID"]
    try:
        job = slurm.job(mine)
        if job is None or job.state not in _MEANT_TO_RUN:
            return EXIT_STOPPED
        for number in _STOPS:  # so that Slurm needn't kill what it ends now
            signal.signal(number, signal.SIG_DFL)
        _tell(run, array, index, EXIT_STOPPED)
        slurm.requeue(mine)
    except HpcRunnerError as error:
        print(f"can't be requeued: {error}", file=sys.stderr)
        return EXIT_STOPPED
    time.sleep(_END_S)
    return EXIT_STOPPED


def _check_chain(run: RunDir, wave: int, code: int) -> None:
    """Queue a coordinator where there should be one and is none: done by those array tasks
    after which there may be no other to do it."""
    if not run.chain.exists() or run.cancelled.exists() or run.summary.exists():
        return
    try:
        left = len(shard_sizes(run, wave)) - len(run.finished_shards(wave))
        profile = read_profile(run)
        if profile is not None and (left <= 0 or code != 0):
            Chain(run, profile, Slurm(deadline_s=_SLURM_S)).ensure()
    except HpcRunnerError as error:
        print(f"the chain of coordinators can't be checked: {error}", file=sys.stderr)


def _parts(run: RunDir, wave: int, shard: int) -> Parts:
    """What has been kept of a shard, without reading it."""
    try:
        found = list(run.parts(wave, shard).iterdir())
        return frozenset((path.name, path.stat().st_size) for path in found)
    except FileNotFoundError:
        return frozenset()


def _log_to(path: Path) -> None:
    """What this process and its children print goes where the shard's log is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def _tell(run: RunDir, array: Array, index: int, code: int) -> None:
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    path = ending_path(run, array, index, restarts)
    write_json(path, {"code": code, "node": os.environ.get("SLURMD_NODENAME")}, durable=False)
