"""Which processes and control groups belong to a private cluster, and their end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("freezer", "memory", "cpuacct")
MARK = "HPC_RUNNER_TESTCLUSTER"
"""Variable of each daemon that names its cluster's directory."""
STOP_S = 20


class Trouble(Exception):
    """What is printed; ``code`` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Processes:
    """Of the cluster in ``root``, which need not exist any more.

    With cgroup v1 each process is in a control group of the cluster, whatever it does.  Else
    the environment tells, which a process may have cleared.  Containers that a job had an
    engine start belong to that engine.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.group = f"testcluster-{hashlib.sha256(bytes(root)).hexdigest()[:12]}"

    def groups(self) -> Iterator[Path]:
        """The control groups that exist, children before parents."""
        for controller in CONTROLLERS:
            for path, _, _ in os.walk(CGROUPS / controller / self.group, topdown=False):
                yield Path(path)

    def enter(self, node: str) -> None:
        """Put this process into the group of a node, or the cluster's own for ``""``."""
        home = CGROUPS / "freezer" / self.group / (f"node_{node}" if node else "")
        home.mkdir(exist_ok=True)
        (home / "cgroup.procs").write_text(str(os.getpid()))

    def find(self, node: str | None = None) -> list[int]:
        """Pids of the cluster, or of one of its nodes."""
        found = {pid for group in self.groups() if _of_node(group, node) for pid in _pids(group)}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._is_ours(process, node):
                    found.add(int(process.name))
        return sorted(found - {os.getpid()})

    def is_daemon(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return self._mark in _environment(Path(f"/proc/{pid}"))
        return False

    def end(self, pids: Iterable[int | None]) -> None:
        """SIGTERM, after a while SIGKILL.  Returns when they are gone."""
        given = [pid for pid in pids if pid]
        _send(given, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while _alive(given) and time.monotonic() < deadline:
            time.sleep(0.02)
        _send(_alive(given), signal.SIGKILL)
        self._wait_for_end(given)

    def kill(self, node: str | None = None) -> None:
        """SIGKILL all, or all of a node, such that none sees another one die where control
        groups are there to freeze them."""
        top = CGROUPS / "freezer" / self.group
        tops = [top] if node is None else [top / f"slurm_{node}", top / f"node_{node}"]
        switches = [each / "freezer.state" for each in tops if each.exists()]
        # A fork may escape one look, not all of them.
        deadline = time.monotonic() + STOP_S
        while self.find(node) and time.monotonic() < deadline:
            for switch in switches:
                switch.write_text("FROZEN")
            pids = self.find(node)
            _send(pids, signal.SIGKILL)
            for switch in switches:
                switch.write_text("THAWED")
            self._wait_for_end(pids)
        if left := self.find(node):
            raise Trouble(f"processes don't end: {left}")

    def remove_groups(self) -> None:
        for group in self.groups():
            wait_until(partial(_removed, group), STOP_S, partial("{} is busy".format, group))

    @property
    def _mark(self) -> bytes:
        return f"{MARK}={self.root}".encode()

    def _is_ours(self, process: Path, node: str | None) -> bool:
        variables = _environment(process)
        ours = self._mark in variables
        if not ours and f"SLURM_CONF={self.root}/slurm.conf".encode() in variables:
            ours = any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables)
        if ours and node is not None:
            command = (process / "cmdline").read_bytes().split(b"\0")
            named = f"SLURMD_NODENAME={node}".encode() in variables
            return named or command[-3:-1] == [b"-N", node.encode()]
        if not ours and (process / "exe").readlink().name.startswith("slurmstepd"):
            # The title that it gave itself lies where its environment was.
            logs = f"{self.root}/log/slurmd-{f'{node}.' if node else ''}"
            return any(str(fd.readlink()).startswith(logs) for fd in (process / "fd").iterdir())
        return ours

    def _wait_for_end(self, pids: list[int]) -> None:
        def message() -> str:
            return f"processes don't end: {_alive(pids)}"

        wait_until(lambda: not _alive(pids), STOP_S, message)


def cgroup_v1() -> bool:
    """Whether Slurm can make control groups of version 1 here."""
    return all(
        (CGROUPS / name / "cgroup.procs").exists() and os.access(CGROUPS / name, os.W_OK)
        for name in CONTROLLERS
    )


def wait_until(condition: Callable[[], object], most_s: float, message: Callable[[], str]) -> None:
    """Daemons give no sign when they are ready, or gone."""
    deadline = time.monotonic() + most_s
    while not condition():
        if time.monotonic() > deadline:
            raise Trouble(message())
        time.sleep(0.02)


def _environment(process: Path) -> list[bytes]:
    return (process / "environ").read_bytes().split(b"\0")


def _of_node(group: Path, node: str | None) -> bool:
    """Whether a control group is that of a node, or inside it; of any, when ``node`` is None."""
    return node is None or not {f"slurm_{node}", f"node_{node}"}.isdisjoint(group.parts)


def _pids(group: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    return []


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _alive(pids: Iterable[int]) -> list[int]:
    """Those that are no zombies: who started them may not have waited yet."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()
