"""Submitting one job array through submitit, in a process of its own.

``python -m hpc_runner.pipeline.submission RUN WAVE NUMBER PARENT`` submits the array that
``arrays/NUMBER.json`` describes and prints its job id.  A process, because submitit waits for
sbatch without a deadline and hands it its own environment: this one can be killed, and has no
secrets in it.  It ends with PARENT, the process that wants it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from hpc_runner.errors import SchedulerBusy, SchedulerError
from hpc_runner.pipeline.arrays import Array, pickle_path, read_array
from hpc_runner.pipeline.scheduler import worker_environment
from hpc_runner.pipeline.slurm import clean_environment, trouble
from hpc_runner.rundir import RunDir

__all__ = ["interpreter", "job_script", "main", "submit_array", "submit_in_process"]

DEADLINE_S = 120.0
"""Writing a file for each task, and sbatch."""


def submit_array(run: RunDir, array: Array, *, deadline_s: float = DEADLINE_S) -> int:
    """The job id.  Raises ``SchedulerBusy`` when it isn't known whether Slurm has taken the
    array, or when it takes no more for now; ``SchedulerError`` when it has refused."""
    where = [str(run.root), str(array.wave), str(array.number), str(os.getpid())]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hpc_runner.pipeline.submission", *where],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=submission_environment(array),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        raise SchedulerBusy(f"sbatch gave no answer in {deadline_s:.0f} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode < 0:
        raise SchedulerBusy(f"sbatch was killed by signal {-process.returncode}")
    if process.returncode != 0:
        raise trouble("sbatch", process.returncode, err)
    try:
        return int(out.split()[-1])
    except (ValueError, IndexError):
        raise SchedulerError(f"sbatch answered {out!r} where a job id was expected") from None


def submission_environment(array: Array) -> dict[str, str]:
    """What sbatch, and so every array task, is started with."""
    options = [*array.parameters, *array.parameters["additional_parameters"]]
    return clean_environment(worker_environment(os.environ), options)


def submit_in_process(run: RunDir, array: Array, python: str) -> int:
    import submitit
    from submitit.core.utils import DelayedSubmission

    from hpc_runner.pipeline import array_task

    arguments = (str(run.root), array.wave, array.number)
    folder = run.array_files(array.wave, array.number)
    folder.mkdir(parents=True, exist_ok=True)
    pickled = DelayedSubmission(array_task.main, *arguments)
    pickled.set_timeout(array.parameters["time"], 0)
    pickled.dump(pickle_path(run, array))
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=0, python=python)
    executor.update_parameters(**array.parameters)
    tasks = len(array.shards)
    jobs = executor.map_array(array_task.main, *([argument] * tasks for argument in arguments))
    return int(jobs[0].job_id.partition("_")[0])


def job_script(run: RunDir, array: Array) -> str:
    """What sbatch is given, as submitit writes it; nothing is submitted or written."""
    from submitit.slurm.slurm import _make_sbatch_string

    folder = run.array_files(array.wave, array.number)
    command = f"{interpreter(array)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    tasks = len(array.shards)
    return _make_sbatch_string(command, folder=folder, map_count=tasks, **array.parameters)


def interpreter(array: Array) -> str:
    """Shell words.  -P: files that lie where the job starts must not replace modules."""
    return array.python or f"{shlex.quote(sys.executable)} -P"


def main(arguments: list[str]) -> int:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    from hpc_runner.sandbox.starter import die_with

    root, wave, number, parent = arguments
    die_with(int(parent))
    run = RunDir(Path(root))
    array = read_array(run, int(wave), int(number))
    try:
        print(submit_in_process(run, array, interpreter(array)))
    except (FailedJobError, FailedSubmissionError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
