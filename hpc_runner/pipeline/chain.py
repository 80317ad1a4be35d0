"""A coordinator that is a chain of Slurm jobs: no process stays on the login node.

Each of these jobs sees to it, before it does anything else, that two more are queued.  They all
have one name, and each waits for those before it (``singleton``), so that there is one at a time,
a job that dies is followed at once, even if it dies while it starts, and one that Slurm starts
again queues no others.  When a coordinator has nothing to do but wait, it makes its successor
wait for the arrays (``afterany``) and ends.

Meanwhile nobody watches the array tasks, and Slurm takes some for running that are dead (one whose
slurmstepd was killed, say) until their time limit.  So another job comes every few minutes,
looks which of them have said nothing since it came last (watch_job.py), and cancels those.

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
from pathlib import Path
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
    "watch_name",
    "watch_options",
    "write_record",
]

WARNING_S = 120
"""How long before its time limit a coordinator is told to leave the rest to its successor."""
DEPTH = 2
"""Coordinators that are queued behind the one that runs."""
WATCH_MINUTES = 5
"""Time limit of a look at the array tasks."""
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
        return self._queued(self._name)

    def ensure(self, *, besides: int | None = None) -> int:
        """The id of the coordinator that comes after the job ``besides``, or of the first.

        There are ``DEPTH`` of them when this returns.  Two processes that do this at a time may
        queue more; they run one after the other, and the last ones find nothing to do.
        """
        queued = [job.array for job in self.jobs() if job.array != besides]
        while len(queued) < DEPTH:
            options = coordinator_options(self._run, self._profile)
            script = coordinator_script(self._run, self._profile)
            queued.append(self._submit(self._run.coordinator_script, script, options))
        return queued[0]

    def watch(self, *, besides: int | None = None) -> None:
        """The array tasks are looked at in a while, if the profile wants it."""
        others = (job for job in self._queued(watch_name(self._run)) if job.array != besides)
        if self._profile.coordinator.watch == 0 or any(others):
            return
        options = watch_options(self._run, self._profile)
        script = _script(self._run, self._profile, "watch_job")
        self._submit(self._run.watch_script, script, options)

    def wait_for(self, coordinator: int, arrays: Iterable[int]) -> None:
        """A coordinator that is queued doesn't start before these arrays have ended."""
        told = ":".join(map(str, arrays))
        self._slurm.update(coordinator, Dependency=f"afterany:{told},singleton")

    def delay(self, coordinator: int, seconds: int) -> None:
        self._slurm.update(coordinator, StartTime=f"now+{seconds}")

    def end(self, *, besides: int | None = None) -> None:
        """No more coordinators, but for the job ``besides``, and nobody who watches."""
        queued = (*self.jobs(), *self._queued(watch_name(self._run)))
        self._slurm.cancel(str(job.array) for job in queued if job.array != besides)

    def _queued(self, name: str) -> list[Job]:
        found = (job for job in self._slurm.queue(name) if job.state not in _OVER)
        return sorted(found, key=lambda job: job.array)

    def _submit(self, path: Path, script: str, options: list[str]) -> int:
        if not str(self._run.root).isprintable() or set(str(self._run.root)) & set("%\\"):
            raise ConfigError(f"{self._run.root}: Slurm takes no path with %, \\ or such")
        with atomic_file(path) as file:
            file.write(script.encode())
        return self._slurm.submit(path, options, package_environment(os.environ))


def chain_name(run: RunDir) -> str:
    """The name of all coordinators of a run.  It follows from where the run is, because it is
    needed before there is a plan."""
    return f"hpcr-{hashlib.sha256(os.fsencode(run.root)).hexdigest()[:16]}-coordinator"


def watch_name(run: RunDir) -> str:
    """The same for those who watch."""
    return f"{chain_name(run).removesuffix('coordinator')}watch"


def coordinator_options(run: RunDir, profile: Profile) -> list[str]:
    """sbatch's for a coordinator."""
    mine = profile.coordinator
    return _told(
        _options(run, profile)
        | {
            "job-name": chain_name(run),
            "dependency": "singleton",
            "time": str(mine.time),
            "signal": f"B:USR2@{min(WARNING_S, mine.time * 60 // 4)}",
        }
    )


def watch_options(run: RunDir, profile: Profile) -> list[str]:
    """sbatch's for a look at the array tasks, some time from now."""
    begin = f"now+{profile.coordinator.watch}minutes"
    return _told(
        _options(run, profile)
        | {"job-name": watch_name(run), "begin": begin, "time": str(WATCH_MINUTES)}
    )


def _told(options: dict[str, str | bool]) -> list[str]:
    return [f"--{k}" if v is True else f"--{k}={v}" for k, v in sorted(options.items())]


def _options(run: RunDir, profile: Profile) -> dict[str, str | bool]:
    """Of all jobs but array tasks."""
    mine = profile.coordinator
    options: dict[str, str | bool] = sbatch_options(profile)
    for name in ("partition", "qos", "constraint"):
        if (value := getattr(mine, name)) is not None:
            options[name] = value
    for name in ("exclusive", "array", "exclude"):  # of array tasks
        options.pop(name, None)
    options.pop("no-requeue", None)
    options |= {
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(mine.cpus_per_task),
        "requeue": True,
        "chdir": "/",
        "output": str(run.coordinator_log),
        "open-mode": "append",
    }
    if mine.memory is not None:
        options["mem"] = f"{mine.memory}M"
    if profile.wckey is not None:
        options["wckey"] = profile.wckey
    return options


def coordinator_script(run: RunDir, profile: Profile) -> str:
    return _script(run, profile, "coordinator_job")


def _script(run: RunDir, profile: Profile, module: str) -> str:
    python = profile.python or f"{shlex.quote(sys.executable)} -P"
    # exec: so that signals reach the program, and not a shell that holds them back.
    command = f"exec {python} -u -m hpc_runner.pipeline.{module} {shlex.quote(str(run.root))}"
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
