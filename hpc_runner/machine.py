"""What of this machine is really ours: on shared nodes that is less than it has."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cores", "Memory", "cores", "memory"]

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


def cores(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> Cores:
    """``root`` is where /proc and /sys lie."""
    environ = os.environ if environ is None else environ
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return Cores(machine, affinity, _quota(root), _slurm_cores(environ))


def memory(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> Memory:
    environ = os.environ if environ is None else environ
    megabytes = _number(environ.get("SLURM_MEM_PER_NODE", ""))
    if not megabytes and (per_core := _number(environ.get("SLURM_MEM_PER_CPU", ""))):
        megabytes = per_core * (_slurm_cores(environ) or 1)
    return Memory(_total(root), _memory_limit(root), megabytes * 2**20 if megabytes else None)


def _slurm_cores(environ: Mapping[str, str]) -> int | None:
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if value := _number(environ.get(name, "")):
            return value
    return None


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
