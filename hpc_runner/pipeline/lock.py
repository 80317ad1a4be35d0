"""One coordinator for a run directory at a time, on one machine or on many.

    lock/000007.json   who coordinates: the highest number counts, and it is
                       touched every few seconds while its holder lives

To take the lock is to make the next number, which only one process can
(``link``, which is atomic on NFS and Lustre, too; no ``flock``, which is not).
It may be taken when the holder has let go, when it is a process of this machine
that is gone, or when it hasn't touched its file for ``STALE_S`` seconds, watched
by this process's own clock: clocks of machines are never compared.  A holder
that was taken for dead and wasn't finds out at its next step (``check``).  The
highest file is never removed, so that no number comes twice.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from hpc_runner.errors import RunError, StorageError
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

__all__ = ["CoordinatorLock", "Holder", "holder"]

REFRESH_S = 5.0
STALE_S = 45.0

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


@dataclass(frozen=True)
class Holder:
    """Who coordinates a run."""

    pid: int
    host: str
    started: str
    """When the process started, as the kernel tells it: tells it from a later one of that pid."""
    space: str = ""
    """Where the pid is one: the process namespace.  Containers may share a host's name."""
    job: str | None = None
    """Its Slurm job."""

    @property
    def here(self) -> bool:
        return (self.host, self.space) == (platform.node(), _space())

    def __str__(self) -> str:
        job = f" (Slurm job {self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


class _Seen(NamedTuple):
    """The lock at one moment."""

    number: int = 0
    touched_ns: int = 0
    released: bool = True
    holder: Holder | None = None
    """None where the file can't be understood: it is being written, or foreign."""

    @property
    def gone(self) -> bool:
        """For certain: its holder has let go, or was a process of this machine."""
        found = self.holder
        dead = found is not None and found.here and _started(found.pid) != found.started
        return self.released or dead


class CoordinatorLock:
    """Hold the lock of a run for the length of a block.

    Raises ``RunError`` naming the holder: at once, or after watching a holder
    on another machine for as long as it may be silent (``say`` tells of that).
    """

    def __init__(
        self,
        run: RunDir,
        *,
        say: Callable[[str], None] = lambda _: None,
        refresh_s: float = REFRESH_S,
        stale_s: float = STALE_S,
    ) -> None:
        self._run = run
        self._say = say
        self._refresh_s = refresh_s
        self._stale_s = stale_s
        self._number = 0
        self.lost = False
        """Another process holds it now: nothing may be done for the run any more."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            self._run.lock.mkdir(exist_ok=True)
            while not self._number:
                self._number = self._take()
            for number in self._run.lock_numbers():
                if number < self._number:
                    self._run.lock_file(number).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"can't lock {self._run.root}: {error}") from error
        self._thread = threading.Thread(target=self._refresh, name="lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        mine = self._run.lock_file(self._number)
        if mine.exists():
            # Where that can't be written, the end of this process tells the same.
            with suppress(StorageError):
                write_json(mine, {"released": True})

    def check(self) -> None:
        """Raises ``RunError`` when another process has taken this one for dead."""
        found = _look(self._run)
        if found.number > self._number:
            self.lost = True
            raise RunError(
                f"{self._run.root} has been taken over by {found.holder or 'another process'}, "
                f"because this one didn't show itself for {self._stale_s:.0f} s; it goes on there"
            )

    def _take(self) -> int:
        """The number that is ours, 0 when another process was faster.  Raises ``RunError``."""
        found = _look(self._run)
        if not found.gone:
            self._watch(found)
        if not _make(self._run, found.number + 1):
            return 0
        # One that watched for long may have made a number that others are past.
        if max(self._run.lock_numbers()) > found.number + 1:
            self._run.lock_file(found.number + 1).unlink(missing_ok=True)
            return 0
        return found.number + 1

    def _watch(self, found: _Seen) -> None:
        """Return when the holder has been silent for too long.  Raises ``RunError`` if it lives."""
        if found.holder is not None and found.holder.here:
            raise RunError(self._held(found))
        who = found.holder or "another process"
        self._say(
            f"{self._run.root} was last coordinated by {who}; watching for "
            f"{self._stale_s:.0f} s whether it still is"
        )
        end = time.monotonic() + self._stale_s
        while (left := end - time.monotonic()) > 0:
            self._ended.wait(min(left, self._refresh_s))
            now = _look(self._run)
            if now.gone:
                return
            if (now.number, now.touched_ns) != (found.number, found.touched_ns):
                raise RunError(self._held(now))

    def _held(self, found: _Seen) -> str:
        run = self._run.root
        if found.holder is None:
            return f"{run} is being coordinated by another process; wait for it to end"
        return (
            f"{run} is being coordinated by {found.holder}; wait for it, or stop it with "
            f"`hpc-runner cancel {run}`"
        )

    def _refresh(self) -> None:
        mine = self._run.lock_file(self._number)
        while not self._ended.wait(self._refresh_s):
            try:
                os.utime(mine)
            except OSError:
                continue  # gone, which check() tells, or a file system that has to come back


def holder(run: RunDir) -> Holder | None:
    """Who coordinates the run now, as far as can be seen from here.

    For people: of another machine its clock is believed, which the lock doesn't.
    """
    found = _look(run)
    if found.gone or found.holder is None:
        return None
    if not found.holder.here and time.time() - found.touched_ns / 1e9 > STALE_S:
        return None
    return found.holder


def _look(run: RunDir) -> _Seen:
    """The lock as it is now, past the caches of a network file system (by opening it)."""
    while numbers := run.lock_numbers():
        number = max(numbers)
        try:
            with run.lock_file(number).open("rb") as file:
                touched_ns = os.fstat(file.fileno()).st_mtime_ns
                text = file.read()
        except FileNotFoundError:
            continue  # a later one has been made
        except OSError as error:
            raise StorageError(f"can't read {run.lock_file(number)}: {error}") from error
        try:
            content = json.loads(text)
            if content.pop("released", False):
                return _Seen(number, touched_ns)
            return _Seen(number, touched_ns, False, Holder(**content))
        except (ValueError, TypeError, AttributeError):
            return _Seen(number, touched_ns, False)
    return _Seen()


def _make(run: RunDir, number: int) -> bool:
    """Make the file of that number; False when it is there."""
    pid = os.getpid()
    me = Holder(pid, platform.node(), _started(pid) or "", _space(), os.environ.get("SLURM_JOB_ID"))
    path = run.lock_file(number)
    temporary = path.with_name(f".{number}-{secrets.token_hex(8)}.tmp")
    write_json(temporary, asdict(me))
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A repeated call over NFS says so of its own work.
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _make_without_links(path, temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _make_without_links(path: Path, content: bytes) -> bool:
    """Where there are no hard links: the file is there for a moment without its content."""
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """None when there is no such process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return f"{boot} {stat.rpartition(')')[2].split()[19]}"
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
