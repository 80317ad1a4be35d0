"""What the commands do with a run on a cluster that they don't do with one on this machine."""

from __future__ import annotations

import os
import sys

from hpc_runner.errors import ConfigError, SchedulerError
from hpc_runner.model import Limits
from hpc_runner.pipeline.arrays import new_array
from hpc_runner.pipeline.cost import Cost, array_expressions
from hpc_runner.pipeline.host import SPARE_BYTES
from hpc_runner.pipeline.profile_files import read_profile, write_profile
from hpc_runner.pipeline.profiles import Profile, slurm_time
from hpc_runner.pipeline.scheduler import Scheduler
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.report.words import counted, duration
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info
from hpc_runner.sandbox.starter import slot_bytes

__all__ = [
    "adopt",
    "coordinator_row",
    "enter",
    "first_script",
    "largest_array",
    "memory_remark",
    "plan_rows",
    "slurm_scheduler",
]

_LARGEST = 1001
"""Tasks in an array, where there is no Slurm to ask: its default."""


def enter(profile: Profile) -> None:
    """Give this process what planning and coordinating on that site need."""
    os.environ.update(profile.variables())


def slurm_scheduler(run: RunDir) -> Scheduler | None:
    """None for a run whose workers are processes of this machine."""
    profile = read_profile(run)
    if profile is None:
        return None
    from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler

    enter(profile)
    return SlurmScheduler(run, profile)


def memory_remark(profile: Profile, limits: Limits) -> str:
    """A sentence where an array task's memory may not hold an execution for each of its CPUs;
    then Slurm would kill workers for what candidates take.  Pure."""
    if profile.memory is None:
        return ""
    needed = profile.cpus_per_task * slot_bytes(limits) + SPARE_BYTES
    if profile.memory << 20 >= needed:
        return ""
    return (
        f"{profile.memory} MiB may be too little for an array task: "
        f"{counted(profile.cpus_per_task, 'execution')} at a time may take "
        f"{-(-needed >> 20)} MiB at their limits (memory, or cpus_per_task, of the profile)"
    )


def adopt(run: RunDir, profile: Profile) -> None:
    """Have a planned run's jobs be like this from now on.

    The CPUs of an array task are the slots that were planned.  Raises ``ConfigError`` where
    the runtime is another one than the plan's.
    """
    if not run.info.exists() and run.chain.exists():
        write_profile(run, profile)  # its plan is still to come
        return
    info = read_info(run)
    if profile.runtime not in (None, info.runtime):
        raise ConfigError(
            f"{run.root} was planned for the {info.runtime} runtime, and the profile's is "
            f"{profile.runtime}"
        )
    if profile.cpus_per_task != info.config.slots:
        print(f"Array tasks keep {counted(info.config.slots, 'CPU')}, as planned", file=sys.stderr)
    planned = {"cpus_per_task": info.config.slots, "runtime": info.runtime}
    write_profile(run, profile.model_copy(update=planned))


def coordinator_row(profile: Profile) -> str:
    """What `submit --dry-run` tells of the coordinators.  Pure."""
    mine = profile.coordinator
    where = mine.partition or profile.partition
    parts = [
        counted(mine.cpus_per_task, "CPU"),
        f"{mine.memory} MiB" if mine.memory is not None else "the site's memory",
        f"at most {slurm_time(mine.time)}",
        *([f"partition {where}"] if where else []),
    ]
    return "jobs that plan, vote and submit, for a short time each: " + ", ".join(parts)


def largest_array() -> tuple[int, str]:
    """Tasks that an array may have here, and a remark where that is a guess."""
    try:
        return Slurm(deadline_s=10).limits().array_size, ""
    except (ConfigError, SchedulerError) as error:
        return _LARGEST, f"how large an array may be is a guess: {error}"


def plan_rows(
    shards: int, executions: int, profile: Profile, largest: int = _LARGEST, remark: str = ""
) -> dict[str, str]:
    """What `run --dry-run` tells of the arrays, what they may cost and how long they may take.
    Pure."""
    cost = Cost(
        array_tasks=shards,
        cpus=profile.cpus_per_task,
        parallel=profile.array_parallelism,
        time_min=profile.time,
        executions=executions,
    )
    arrays = array_expressions(shards, largest, profile.array_parallelism)
    memory = "the site's memory" if profile.memory is None else f"{profile.memory} MiB"
    where = ", ".join(
        f"{name} {value}"
        for name in ("partition", "account", "qos", "constraint", "reservation")
        if (value := getattr(profile, name)) is not None
    )
    rows = {
        "cluster": where or "the site's defaults",
        "job arrays": ", ".join(arrays[:4]) + (f", ... ({len(arrays)})" if arrays[4:] else ""),
        "array task": f"{counted(cost.cpus, 'CPU')}, {memory}, at most {slurm_time(profile.time)}",
        "core-hours": f"{cost.core_hours_at_most:,.1f} at most, if each array task takes its "
        f"time limit once; {cost.core_hours_expected:,.2f} expected",
        "expected time": f"{duration(cost.expected_s)} from the first array task's start, if the "
        f"cluster has room and an execution takes {cost.execution_s * 1000:.0f} ms as "
        "HumanEval's do",
    }
    return rows | ({"remark": remark} if remark else {})


def first_script(run: RunDir, info: RunInfo, profile: Profile) -> str:
    """The job script of the first array, as sbatch would be given it."""
    from hpc_runner.pipeline.submission import job_script

    tasks = min(info.shards, largest_array()[0])
    return job_script(run, new_array(run, info.run_id, 0, 0, range(tasks), profile))
