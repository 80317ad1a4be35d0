"""A coordinator that is a chain of Slurm jobs: no process stays on the login node.

Each of these jobs sees to it, before it does anything else, that two more are queued.  They all
have one name, and each waits for those before it (``singleton``), so that there is one at a time,
a job that dies is followed at once, even if it dies while it starts, and one that Slurm starts
again queues no others.  When a coordinator has nothing to do but wait, it makes its successor
wait for the arrays (``afterany``) and ends.

What breaks such a chain (an administrator, a limit on jobs) is found by the array tasks that end
last, and by ``hpc-runner resume``: they queue a coordinator where none is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from hpc_runner.errors import ConfigError, RunError, StorageError
from hpc_runner.pipeline.arrays import sbatch_options, setup_lines
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import package_environment
from hpc_runner.pipeline.slurm import Job, Slurm
from hpc_runner.results.files import atomic_file, write_json
from hpc_runner.rundir import RunDir

__all__ = [
    "Chain",
    "Record",
    "chain_name",
    "coordinator_options",
    "coordinator_script",
    "read_record",
    "write_record",
]

WARNING_S = 120
"""How long before its time limit a coordinator is told to leave the rest to its successor."""
DEPTH = 2
"""Coordinators that are queued behind the one that runs."""
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "DEADLINE")


@dataclass(frozen=True)
class Record:
    """The content of ``chain.json``; written by whoever begins the chain, then by its jobs."""

    config: dict[str, Any] | None = None
    """The run's configuration, for the first job to plan it."""
    starts: int = 0
    """Coordinators since the run last came on."""
    progress: str = ""
    """Where the run stood then."""
    stopped: str | None = None
    """Why the chain has ended before the run, for people."""


class Chain:
    """The coordinators of one run that are queued or run.  Methods raise as ``Slurm``'s do."""

    def __init__(self, run: RunDir, profile: Profile, slurm: Slurm) -> None:
        self._run = run
        self._profile = profile
        self._slurm = slurm
        self._name = chain_name(run)

    def jobs(self) -> list[Job]:
        """By job id: the first one runs, or is about to."""
        found = (job for job in self._slurm.queue(self._name) if job.state not in _OVER)
        return sorted(found, key=lambda job: job.array)

    def ensure(self, *, besides: int | None = None) -> int:
        """The id of the coordinator that comes after the job ``besides``, or of the first.

        There are ``DEPTH`` of them when this returns.  Two processes that do this at a time may
        queue more; they run one after the other, and the last ones find nothing to do.
        """
        queued = [job.array for job in self.jobs() if job.array != besides]
        while len(queued) < DEPTH:
            queued.append(self._submit())
        return queued[0]

    def wait_for(self, coordinator: int, arrays: Iterable[int]) -> None:
        """A coordinator that is queued doesn't start before these arrays have ended."""
        told = ":".join(map(str, arrays))
        self._slurm.update(coordinator, Dependency=f"afterany:{told},singleton")

    def delay(self, coordinator: int, seconds: int) -> None:
        self._slurm.update(coordinator, StartTime=f"now+{seconds}")

    def end(self, *, besides: int | None = None) -> None:
        """No more coordinators, but for the job ``besides``."""
        self._slurm.cancel(str(job.array) for job in self.jobs() if job.array != besides)

    def _submit(self) -> int:
        if not str(self._run.root).isprintable() or set(str(self._run.root)) & set("%\\"):
            raise ConfigError(f"{self._run.root}: Slurm takes no path with %, \\ or such")
        script = self._run.coordinator_script
        with atomic_file(script) as file:
            file.write(coordinator_script(self._run, self._profile).encode())
        options = coordinator_options(self._run, self._profile)
        return self._slurm.submit(script, options, package_environment(os.environ))


def chain_name(run: RunDir) -> str:
    """The name of all coordinators of a run.  It follows from where the run is, because it is
    needed before there is a plan."""
    return f"hpcr-{hashlib.sha256(os.fsencode(run.root)).hexdigest()[:16]}-coordinator"


def coordinator_options(run: RunDir, profile: Profile) -> list[str]:
    """sbatch's for a coordinator."""
    mine = profile.coordinator
    options: dict[str, str | bool] = sbatch_options(profile)
    for name in ("partition", "qos", "constraint"):
        if (value := getattr(mine, name)) is not None:
            options[name] = value
    for name in ("exclusive", "array", "exclude"):  # of array tasks
        options.pop(name, None)
    options.pop("no-requeue", None)
    options |= {
        "job-name": chain_name(run),
        "dependency": "singleton",
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(mine.cpus_per_task),
        "time": str(mine.time),
        "signal": f"B:USR2@{min(WARNING_S, mine.time * 60 // 4)}",
        "requeue": True,
        "chdir": "/",
        "output": str(run.coordinator_log),
        "open-mode": "append",
    }
    if mine.memory is not None:
        options["mem"] = f"{mine.memory}M"
    if profile.wckey is not None:
        options["wckey"] = profile.wckey
    return [f"--{k}" if v is True else f"--{k}={v}" for k, v in sorted(options.items())]


def coordinator_script(run: RunDir, profile: Profile) -> str:
    python = profile.python or f"{shlex.quote(sys.executable)} -P"
    # exec: so that signals reach the coordinator, and not a shell that holds them back.
    command = (
        f"exec {python} -u -m hpc_runner.pipeline.coordinator_job {shlex.quote(str(run.root))}"
    )
    return "\n".join(["#!/bin/bash", *setup_lines(profile), command, ""])


def write_record(run: RunDir, record: Record) -> None:
    """Raises ``StorageError``."""
    write_json(run.chain, asdict(record))


def read_record(run: RunDir) -> Record | None:
    """None for a run that no chain of jobs coordinates.  Raises ``RunError``, ``StorageError``."""
    try:
        return replace(Record(), **json.loads(run.chain.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"can't read {run.chain}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{run.chain} can't be read by this version of hpc-runner: {error}"
        ) from error
