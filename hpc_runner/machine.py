"""What of this machine is really ours: on shared nodes that is less than it has."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Allocation", "Cores", "Memory", "Room", "allocation", "cores", "memory", "room"]

_UNLIMITED = 1 << 60  # cgroup v1 writes "no limit" as a huge number


@dataclass(frozen=True)
class Cores:
    """Each limit on cores, None where there is none."""

    machine: int
    affinity: int
    quota: float | None
    """CPU time per second, from the control group."""
    slurm: int | None

    @property
    def usable(self) -> int:
        limits = [self.affinity, self.slurm or self.affinity]
        if self.quota is not None:
            limits.append(math.ceil(self.quota))
        return max(1, min(limits))


@dataclass(frozen=True)
class Memory:
    """In bytes, None where it isn't known."""

    machine: int | None
    cgroup: int | None
    slurm: int | None

    @property
    def usable(self) -> int | None:
        known = [limit for limit in (self.machine, self.cgroup, self.slurm) if limit]
        return min(known, default=None)


@dataclass(frozen=True)
class Allocation:
    """What Slurm has given to the job that we are in, None where it doesn't say."""

    job_id: str
    """Of an array's task: the array's id and the index, as ``123_7``."""
    node: str | None
    """Slurm's name of the node that we are on; None in a shell that holds an allocation of
    other nodes, as ``salloc`` starts it on a login node."""
    partition: str | None
    cpus: int | None
    """For this task, on this node."""
    memory_bytes: int | None
    """For the job, on this node."""
    restarts: int
    """How often the job was requeued."""


@dataclass(frozen=True)
class Room:
    """How many executions fit at a time."""

    slots: int
    """At least 1, also where even that is too much."""
    by_cores: int
    by_memory: int | None
    """With each one using all that it may; None where our memory isn't known."""


def allocation(environ: Mapping[str, str] | None = None) -> Allocation | None:
    """None outside of a job."""
    environ = os.environ if environ is None else environ
    job = environ.get("SLURM_JOB_ID") or environ.get("SLURM_JOBID")
    if not job:
        return None
    array, index = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    return Allocation(
        job_id=f"{array}_{index}" if array and index else job,
        node=environ.get("SLURMD_NODENAME") or None,
        partition=environ.get("SLURM_JOB_PARTITION") or None,
        cpus=_slurm_cores(environ),
        memory_bytes=_slurm_memory(environ),
        restarts=_number(environ.get("SLURM_RESTART_COUNT", "")),
    )


def room(cores: Cores, memory: Memory, slot_bytes: int, spare_bytes: int) -> Room:
    """``slot_bytes``: what one execution may use and what it is managed with; ``spare_bytes``:
    what is needed once."""
    usable = memory.usable
    by_memory = None if usable is None else max(0, usable - spare_bytes) // slot_bytes
    fitting = cores.usable if by_memory is None else min(cores.usable, by_memory)
    return Room(max(1, fitting), cores.usable, by_memory)


def cores(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> Cores:
    """``root`` is where /proc and /sys lie."""
    environ = os.environ if environ is None else environ
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return Cores(machine, affinity, _quota(root), _slurm_cores(environ))


def memory(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> Memory:
    environ = os.environ if environ is None else environ
    return Memory(_total(root), _memory_limit(root), _slurm_memory(environ))


def _slurm_cores(environ: Mapping[str, str]) -> int | None:
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if value := _number(environ.get(name, "")):
            return value
    return None


def _slurm_memory(environ: Mapping[str, str]) -> int | None:
    megabytes = _number(environ.get("SLURM_MEM_PER_NODE", ""))
    if not megabytes and (per_core := _number(environ.get("SLURM_MEM_PER_CPU", ""))):
        megabytes = per_core * (_slurm_cores(environ) or 1)
    return megabytes * 2**20 if megabytes else None


def _quota(root: Path) -> float | None:
    """The tightest quota from our control group up to the root of the hierarchy."""
    found: list[float] = []
    for group in _groups(root, "cpu"):
        if (text := _text(group / "cpu.max")) is not None:  # v2: "max 100000" or "50000 100000"
            quota, _, period = text.partition(" ")
        else:
            quota = _text(group / "cpu.cfs_quota_us") or "-1"
            period = _text(group / "cpu.cfs_period_us") or "0"
        if _number(quota) and _number(period):
            found.append(_number(quota) / _number(period))
    return min(found, default=None)


def _memory_limit(root: Path) -> int | None:
    found: list[int] = []
    for group in _groups(root, "memory"):
        text = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes") or ""
        if 0 < (limit := _number(text)) < _UNLIMITED:
            found.append(limit)
    return min(found, default=None)


def _groups(root: Path, controller: str) -> list[Path]:
    """Our control group and those above it, where they can be seen."""
    found: list[Path] = []
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        base = root / "sys/fs/cgroup"
        if controllers and controller not in controllers.split(","):
            continue
        if controllers:
            base /= controllers if (base / controllers).exists() else controller
        group = base / name.lstrip("/")
        # In a container the name may be the host's, of which only the root is mounted here.
        found += [group, *(parent for parent in group.parents if parent.is_relative_to(base))]
    return [path for path in found if path.is_dir()]


def _total(root: Path) -> int | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return _number(line.split()[1]) * 1024
    return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _number(text: str) -> int:
    """0 for anything that isn't a positive whole number."""
    return int(text) if text.isascii() and text.isdigit() else 0
