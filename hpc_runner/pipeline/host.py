"""What this machine is to a cluster, and how many executions fit in what of it is ours."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpc_runner.errors import ConfigError, SchedulerBusy, SchedulerError
from hpc_runner.machine import Allocation, Room, allocation, cores, memory, room
from hpc_runner.model import Limits
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.sandbox.starter import slot_bytes

__all__ = ["ASK_S", "Host", "Place", "find_host", "fitting"]

ASK_S = 5.0
"""For Slurm's controller to answer."""
SPARE_BYTES = 512 << 20
"""For the coordinator, and the workers' own tables."""


class Place(StrEnum):
    COMPUTE = "compute node"
    """We are in a job, on a node of it."""
    LOGIN = "login node"
    """Slurm's commands are here and know a cluster, and we are on no node of a job."""
    WORKSTATION = "workstation"
    """There is no Slurm, or one that isn't configured."""


@dataclass(frozen=True)
class Host:
    """Where we are, and how that is known."""

    place: Place
    why: str
    """As a clause."""
    cluster: str | None
    """Its name, where Slurm says it."""
    allocation: Allocation | None
    mend: str = ""
    """What to do where Slurm is here and doesn't work."""


def find_host(environ: Mapping[str, str] | None = None, slurm: Slurm | None = None) -> Host:
    """Asks Slurm's controller, unless we are in a job.  Raises nothing."""
    environ = os.environ if environ is None else environ
    slurm = slurm or Slurm()
    job = allocation(environ)
    if job is not None and job.node is not None:
        name = environ.get("SLURM_CLUSTER_NAME") or None
        return Host(Place.COMPUTE, f"job {job.job_id} runs on its node {job.node}", name, job)
    try:
        answer = slurm.run(["scontrol", "show", "config"], deadline_s=ASK_S)
    except ConfigError:
        return Host(Place.WORKSTATION, "there are no Slurm commands here", None, job)
    except SchedulerBusy as error:
        mend = "see that `sinfo` works here, or ask the cluster's administrators"
        return Host(Place.LOGIN, f"Slurm's commands are here, but {error}", None, job, mend)
    except SchedulerError as error:
        why = f"Slurm's commands are here, but belong to no cluster: {str(error)[:120]}..."
        mend = "on a cluster, see that `sinfo` works here; else nothing is missing"
        return Host(Place.WORKSTATION, why, None, job, mend)
    found = re.search(r"^ClusterName\s*=\s*(\S+)", answer, re.MULTILINE)
    holds = "we are in no job"
    if job is not None:
        holds = f"this shell holds job {job.job_id}, whose nodes `srun` reaches"
    return Host(
        Place.LOGIN, f"Slurm answers, and {holds}", found[1] if found is not None else None, job
    )


def fitting(limits: Limits | None = None) -> Room:
    """How many executions with these limits, or the default ones, fit here at a time."""
    return room(cores(), memory(), slot_bytes(limits or Limits()), SPARE_BYTES)
