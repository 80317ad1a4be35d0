"""One command of ours on a compute node, and what it prints, by a deadline."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Sequence

from hpc_runner.errors import HpcRunnerError, SchedulerBusy, SchedulerError
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import worker_environment
from hpc_runner.pipeline.slurm import Slurm, clean_environment

__all__ = ["on_node", "srun_command"]

ASK_S = 15.0
"""For Slurm to say where a job is."""

# stdout is the command's alone; modules may talk.
_SHELL = 'exec 3>&1 1>&2\n{setup}exec {python} "$@" 1>&3 3>&-'


def on_node(
    words: Sequence[str],
    profile: Profile,
    *,
    deadline_s: float,
    time_min: int,
    slurm: Slurm | None = None,
) -> str:
    """stdout of ``hpc-runner WORDS`` in a job with what an array task gets.

    ``deadline_s``: for waiting in the queue and for running; ``time_min``: for running alone.
    Raises ``SchedulerBusy`` when it hasn't ended by then, with where the job was; it is
    cancelled, as it is on Ctrl-C.  Raises ``SchedulerError`` when Slurm refuses or the command
    fails, with the end of what it said, and ``ConfigError`` where there is no Slurm.
    """
    slurm = slurm or Slurm(deadline_s=ASK_S)
    name = f"hpcr-on-node-{os.getpid()}-{secrets.token_hex(4)}"
    environment = clean_environment(worker_environment(os.environ)) | profile.variables()
    try:
        return slurm.run(
            srun_command(words, profile, name=name, time_min=time_min),
            deadline_s=deadline_s,
            environment=environment,
        )
    except SchedulerBusy as error:
        where = _given_up(slurm, name)
        raise SchedulerBusy(f"no answer from a compute node: {error}; {where}") from error
    except BaseException as error:
        if not isinstance(error, HpcRunnerError):
            _given_up(slurm, name)
        raise


def srun_command(words: Sequence[str], profile: Profile, *, name: str, time_min: int) -> list[str]:
    """``profile.sbatch`` holds options that srun takes, too."""
    named = ("partition", "account", "qos", "constraint", "reservation", "wckey")
    options = [f"--{key}={value}" for key in named if (value := getattr(profile, key))]
    if profile.exclude:
        options.append(f"--exclude={','.join(profile.exclude)}")
    if profile.memory is not None:
        options.append(f"--mem={profile.memory}M")
    setup = "".join(f"{line}\n" for line in profile.setup)
    python = profile.python or shlex.quote(sys.executable)
    return [
        "srun", f"--job-name={name}", "--nodes=1", "--ntasks=1",
        f"--cpus-per-task={profile.cpus_per_task}", f"--time={time_min}", "--input=none",
        *options, *profile.sbatch, *profile.srun,
        "bash", "-c", _SHELL.format(setup=setup, python=python), "hpc-runner",
        "-P", "-m", "hpc_runner", *words,
    ]  # fmt: skip


def _given_up(slurm: Slurm, name: str) -> str:
    """Cancel the job of this name, and say as a clause where it was."""
    try:
        jobs = slurm.queue(name)
        slurm.cancel(job.id for job in jobs)
    except SchedulerError as error:
        return f"whether its job is still queued is not known ({error}): scancel --name={name}"
    told = [f"its job {job.id} was {job.state} ({job.reason}) and is cancelled" for job in jobs]
    return "; ".join(told) or "it has no job in the queue"
