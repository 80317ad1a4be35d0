"""What happens inside the container's first process: its file system, its rights, its program."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sarus_double.config import Caller, Refused

libc = ctypes.CDLL(None, use_errno=True)

NEWNS, NEWUSER, NEWPID = 0x00020000, 0x10000000, 0x20000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC = 1, 2, 4, 8, 32, 4096, 16384
PRIVATE, SLAVE, DETACH = 1 << 18, 1 << 19, 2

MASKED = ("/proc/kcore", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug", "/sys/firmware", "/proc/scsi")  # fmt: skip
READ_ONLY = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
             "/proc/sysrq-trigger")  # fmt: skip


@dataclass
class Plan:
    """One container."""

    rootfs: Path
    argv: list[str]
    env: dict[str, str]
    workdir: str
    mounts: list[tuple[str, str, bool]]
    private: bool
    init: bool
    caller: Caller
    bundle: Path

    @property
    def root(self) -> Path:
        return self.bundle / "rootfs"


def check(result: int, what: str) -> None:
    if result != 0:
        raise Refused(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(
    source: str | Path, target: str | Path, kind: str = "", flags: int = 0, data: str = ""
) -> None:
    code = libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode() or None,
        ctypes.c_ulong(flags), data.encode() or None,
    )  # fmt: skip
    check(code, f"Failed to mount {source} on {target}")


def unshare() -> None:
    """A mount namespace.  An ordinary user needs a user namespace to have it, in which there is
    only this user."""
    if os.geteuid() != 0:
        uid, gid = os.geteuid(), os.getegid()
        check(libc.unshare(NEWUSER), "Failed to unshare the user namespace")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    check(libc.unshare(NEWNS), "Failed to unshare the mount namespace")
    mount("none", "/", flags=SLAVE | REC)


def unshare_pids() -> None:
    """For the children; no thread can be started afterwards."""
    check(libc.unshare(NEWPID), "Failed to unshare the pid namespace")


def build(plan: Plan) -> None:
    """The root file system, below ``plan.root``: what is written to it is kept in memory."""
    caller, bundle = plan.caller, plan.bundle
    mount("tmpfs", bundle, "tmpfs", NOSUID | NODEV, "mode=755")
    lower, upper, work = (bundle / name for name in ("lower", "upper", "work"))
    for directory in (lower, upper, work, plan.root):
        directory.mkdir()
    _give(upper, caller)
    mount(plan.rootfs, lower, flags=BIND)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    if os.getuid() != 0:
        options += ",userxattr"
    mount("overlay", plan.root, "overlay", NOSUID, options)
    _devices(plan)
    for name in ("hosts", "resolv.conf", "passwd", "group"):
        source, target = Path("/etc", name), _inside(plan.root, f"/etc/{name}")
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
            _give(target, caller)
    for bind in plan.mounts:
        _bind(plan, *bind)


def _devices(plan: Plan) -> None:
    devices = plan.root / "dev"
    devices.mkdir(exist_ok=True)
    mount("tmpfs", devices, "tmpfs", NOSUID, "mode=755,size=65536k")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        node = devices / name
        if os.getuid() == 0:
            os.mknod(node, stat.S_IFCHR | 0o666, Path("/dev", name).stat().st_rdev)
            node.chmod(0o666)
        else:
            node.touch()
            mount(f"/dev/{name}", node, flags=BIND)
    links = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
             "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}  # fmt: skip
    for name, target in links.items():
        (devices / name).symlink_to(target)
    for name in ("pts", "shm", "mqueue"):
        (devices / name).mkdir()
    mount("/dev/shm", devices / "shm", flags=BIND | REC)  # noqa: S108
    with contextlib.suppress(Refused):  # which an ordinary user may not
        mount("devpts", devices / "pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666")
        mount("mqueue", devices / "mqueue", "mqueue", NOSUID | NODEV | NOEXEC)


def _bind(plan: Plan, source: str, destination: str, readonly: bool) -> None:
    with acting_as(plan.caller):  # root may not see what a file system of others holds
        try:
            is_directory = stat.S_ISDIR(os.stat(source).st_mode)  # noqa: PTH116
        except OSError as error:
            raise Refused(
                f"Failed to bind mount {source} on container's {destination}: {error.strerror}"
            ) from None
    target = _inside(plan.root, destination)
    missing = [part for part in (target, *target.parents) if not part.exists()]
    for part in reversed(missing):
        if part == target and not is_directory:
            part.touch()
        else:
            part.mkdir()
        _give(part, plan.caller)
    mount(source, target, flags=BIND | REC)
    mount("none", target, flags=PRIVATE | REC)
    if readonly:
        kept = os.statvfs(target).f_flag & (NOSUID | NODEV | NOEXEC)
        mount("none", target, flags=BIND | REMOUNT | RDONLY | kept)


@contextlib.contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    if os.getuid() != 0 or caller.uid == 0:
        yield
        return
    os.setegid(caller.gid)
    os.seteuid(caller.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _give(path: Path, caller: Caller) -> None:
    if os.getuid() == 0:
        os.chown(path, caller.uid, caller.gid)


def _inside(root: Path, path: str) -> Path:
    """Where ``path`` of the container is outside of it, its links being the container's."""
    found = root
    parts = [part for part in path.split("/") if part]
    for _ in range(255):
        if not parts:
            return found
        part = parts.pop(0)
        if part in (".", ".."):
            found = found if part == "." or found == root else found.parent
        elif (found / part).is_symlink():
            link = str((found / part).readlink())
            found = root if link.startswith("/") else found
            parts = [piece for piece in link.split("/") if piece] + parts
        else:
            found = found / part
    raise Refused(f"too many links in {path}")


def enter(plan: Plan) -> None:
    """In the container's own first process: its root becomes ours, and our rights the caller's."""
    os.setsid()
    # Or else pivot_root would move the process outside, too.
    check(libc.unshare(NEWNS), "Failed to unshare the mount namespace")
    root = plan.root
    for name in ("proc", "sys"):
        (root / name).mkdir(exist_ok=True)
        try:
            flags = NOSUID | NODEV | NOEXEC | (RDONLY if name == "sys" else 0)
            mount(name, root / name, "proc" if name == "proc" else "sysfs", flags)
        except Refused:  # an ordinary user has the host's, where it may not have its own
            mount(f"/{name}", root / name, flags=BIND | REC)
    os.chdir(root)
    check(libc.pivot_root(b".", b"."), "Failed to pivot_root")
    check(libc.umount2(b".", DETACH), "Failed to leave the host's root")
    os.chdir("/")
    for path in MASKED:
        with contextlib.suppress(Refused):
            if Path(path).is_dir():
                mount("tmpfs", path, "tmpfs", RDONLY)
            else:
                mount("/dev/null", path, flags=BIND)
    for path in READ_ONLY:
        with contextlib.suppress(Refused):
            mount(path, path, flags=BIND | REC)
            mount("none", path, flags=BIND | REMOUNT | RDONLY | NOSUID | NODEV | NOEXEC)
    _drop(plan.caller)
    try:
        os.chdir(plan.workdir)
    except OSError as error:
        raise Refused(
            f'runc run failed: unable to start container process: chdir to cwd ("{plan.workdir}")'
            f" set in config.json failed: {error.strerror.lower()}"
        ) from None


def _drop(caller: Caller) -> None:
    """No capability, no way to get one, and the caller's identity."""
    if os.getuid() == 0:
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
        os.setgroups(caller.groups)
        os.setresgid(caller.gid, caller.gid, caller.gid)
        os.setresuid(caller.uid, caller.uid, caller.uid)
    libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)()), "Failed to drop capabilities")
    check(libc.prctl(38, 1, 0, 0, 0), "Failed to set no_new_privs")
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: the caller's own process, as after an exec


def execute(plan: Plan, close_from: int = 3) -> None:
    """Become the program; raises OSError when that can't be."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(close_from, 1 << 16)
    os.execvpe(plan.argv[0], plan.argv, plan.env)  # noqa: S606


def init(plan: Plan) -> int:
    """Start the program, hand on every signal, reap whoever ends; the program's exit code."""
    everything = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    program = os.fork()
    if program == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, everything)
        os.setpgid(0, 0)
        try:
            execute(plan)
        except OSError as error:
            print(f"[FATAL tini ({os.getpid()})] exec {plan.argv[0]} failed: {error.strerror}",
                  file=sys.stderr, flush=True)  # fmt: skip
        os._exit(127)
    os.closerange(0, 1 << 16)
    while True:
        number = signal.sigwait(everything)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, number)
            continue
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == program:
                    return exit_code(status)
                if pid == 0:
                    break


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
