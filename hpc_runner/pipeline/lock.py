"""One coordinator for a run directory at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hpc_runner.errors import RunError, StorageError
from hpc_runner.rundir import RunDir

__all__ = ["CoordinatorLock", "Holder", "holder"]

_NO_FLOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@dataclass(frozen=True)
class Holder:
    """Who coordinates a run."""

    pid: int
    host: str
    started: str
    """When the process started, in the kernel's units: tells it from a later one of that pid."""

    @property
    def here(self) -> bool:
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """True for another host, too: a process there can't be seen from here."""
        return not self.here or _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class CoordinatorLock:
    """Hold ``coordinator.lock`` for the length of a block.

    Between processes of one machine exclusion is the kernel's (``flock``), so a
    process that is killed holds nothing.  Where the file system has no such
    lock, and between machines, the file's text decides; two coordinators that
    start in the same instant are then not kept apart.  Raises ``RunError``
    naming the holder.
    """

    def __init__(self, run: RunDir) -> None:
        self._path = run.coordinator_lock
        self._handle = -1

    def __enter__(self) -> Self:
        try:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"can't write {self._path}: {error.strerror}") from error
        try:
            self._acquire()
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.ftruncate(self._handle, 0)
        os.close(self._handle)

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(self._held(_read(self._path))) from None
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise StorageError(f"can't lock {self._path}: {error.strerror}") from error
        found = _read(self._path)
        if found is not None and found.alive and found.pid != os.getpid():
            raise RunError(self._held(found))
        me = Holder(os.getpid(), platform.node(), _started(os.getpid()) or "")
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(asdict(me)).encode(), 0)

    def _held(self, found: Holder | None) -> str:
        run = self._path.parent
        if found is None:
            return f"{run} is being coordinated by another process; wait for it to end"
        text = f"{run} is being coordinated by {found}"
        if found.here:
            return f"{text}; wait for it, or stop it with `hpc-runner cancel {run}`"
        return f"{text}; if no hpc-runner runs there any more, remove {self._path}"


def holder(run: RunDir) -> Holder | None:
    """Who coordinates the run now, as far as can be seen from here."""
    found = _read(run.coordinator_lock)
    return found if found is not None and found.alive else None


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _started(pid: int) -> str | None:
    """None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
