"""Containers that run: the processes outside of them, ``ps`` and ``kill``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarus_double.config import LOG, Caller, Config, Refused, fail

if TYPE_CHECKING:
    from sarus_double.container import Plan

CHUNK = 32 << 10
HANDED_ON = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
}  # fmt: skip


def run(config: Config, plan: Plan, name: str) -> int:
    """Two processes as with the real one: this is ``sarus``, its child stands for runc."""
    from sarus_double import container

    name = name or f"sarus-container-{os.urandom(8).hex()}"
    LOG.info(f"Executing {name}")
    us = os.getpid()
    runc = os.fork()
    if runc == 0:
        code = 1
        try:
            container.libc.prctl(1, signal.SIGHUP, 0, 0, 0)  # PR_SET_PDEATHSIG
            if os.getppid() == us:
                code = _runc(config, plan, name)
        except Refused as refused:
            print(refused, file=sys.stderr, flush=True)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    for number in HANDED_ON:
        signal.signal(number, lambda number, _: os.kill(runc, number))
    _, status = os.waitpid(runc, 0)
    if os.WIFSIGNALED(status):
        fail("Subprocess runc terminated abnormally")
    return os.WEXITSTATUS(status)


def _runc(config: Config, plan: Plan, name: str) -> int:
    from sarus_double import container

    if not re.fullmatch(r"[\w+.-]+", name, re.ASCII):
        raise Refused(_runc_says("invalid container ID format"))
    entry = _states(config, plan.caller) / f"{name}.json"
    if entry.exists():
        raise Refused(_runc_says("container with given ID already exists"))
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    in_use = os.open(plan.rootfs, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(in_use, fcntl.LOCK_SH)
    plan.bundle.mkdir(parents=True, exist_ok=True)
    container.unshare()
    container.build(plan)
    pipes = [os.pipe() for _ in range(3)]
    go, trouble = os.pipe(), os.pipe()
    threading.Thread(target=_relay, args=(0, pipes[0][1]), daemon=True).start()
    outputs = [threading.Thread(target=_relay, args=(pipes[n][0], n)) for n in (1, 2)]
    for output in outputs:
        output.start()
    if plan.private:
        container.unshare_pids()
    first = os.fork()
    if first == 0:
        _first(plan, pipes, go, trouble)
    for ours in (pipes[0][0], pipes[1][1], pipes[2][1], go[0], trouble[1]):
        os.close(ours)
    _write(entry, {
        "name": name, "pid": first, "started": _started(first), "bundle": str(plan.bundle),
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),  # noqa: UP017
    })  # fmt: skip
    for number in HANDED_ON:
        signal.signal(number, lambda number, _: _hand_on(first, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    try:
        with contextlib.suppress(BrokenPipeError):  # it couldn't be made
            os.write(go[1], b"!")
        os.close(go[1])
        said = _read_all(trouble[0])
        _, status = os.waitpid(first, 0)
        for output in outputs:
            output.join()
    finally:
        entry.unlink(missing_ok=True)
    if said:
        raise Refused(said.decode())
    return container.exit_code(status)


def _first(plan: Plan, pipes: list[Any], go: tuple[int, int], trouble: tuple[int, int]) -> None:
    """The container's first process; doesn't return."""
    from sarus_double import container

    code = 1
    try:
        os.dup2(pipes[0][0], 0)
        os.dup2(pipes[1][1], 1)
        os.dup2(pipes[2][1], 2)
        low, high = sorted((go[0], trouble[1]))
        for begin, end in ((3, low), (low + 1, high), (high + 1, 1 << 16)):
            os.closerange(begin, end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
        container.enter(plan)
        os.read(go[0], 1)
        if plan.init:
            os.close(trouble[1])
            code = container.init(plan)
        else:
            _execute(plan, trouble[1])
    except (Refused, OSError) as error:
        os.write(trouble[1], str(error).encode())
    finally:
        os._exit(code)


def _execute(plan: Plan, trouble: int) -> None:
    from sarus_double import container

    os.dup2(trouble, 3, inheritable=False)
    try:
        container.execute(plan, 4)
    except OSError as error:
        why = f'exec: "{plan.argv[0]}": {error.strerror.lower()}'
        if isinstance(error, FileNotFoundError) and "/" not in plan.argv[0]:
            why = f'exec: "{plan.argv[0]}": executable file not found in $PATH'
        said = f"runc run failed: unable to start container process: {why}: unknown"
        os.write(3, _runc_says(said).encode())


def _relay(source: int, target: int) -> None:
    """As runc copies: what the program doesn't take is drained all the same, up to a pipe's size
    and a chunk."""
    try:
        while data := os.read(source, CHUNK):
            while data:
                data = data[os.write(target, data) :]
    except OSError:
        pass
    if target > 2:
        os.close(target)


def _read_all(descriptor: int) -> bytes:
    said = b""
    while data := os.read(descriptor, CHUNK):
        said += data
    os.close(descriptor)
    return said


def _hand_on(first: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(first, number)


def _runc_says(message: str) -> str:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017
    return f'time="{now}" level=error msg={json.dumps(message)}'


# ------------------------------------------------------------------------- what runs


def _states(config: Config, caller: Caller) -> Path:
    place = Path(config.stateDir) / str(caller.uid)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _write(entry: Path, state: dict[str, Any]) -> None:
    temporary = entry.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(state), encoding="utf-8")
    try:
        os.link(temporary, entry)  # which fails where another one was faster
    except FileExistsError:
        raise Refused(_runc_says("container with given ID already exists")) from None
    finally:
        temporary.unlink()


def _started(pid: int) -> str:
    """The kernel's mark of when a process began; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _running(config: Config, caller: Caller) -> list[tuple[dict[str, Any], bool]]:
    """Every entry, and whether its container is alive: whoever dies with its runc leaves one."""
    found = []
    for entry in sorted(_states(config, caller).glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            state = json.loads(entry.read_text(encoding="utf-8"))
            found.append((state, _started(state["pid"]) == state["started"] != ""))
    return found


def table(config: Config, caller: Caller) -> str:
    """What ``runc list`` prints."""
    rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
    for state, alive in _running(config, caller):
        pid, status = (str(state["pid"]), "running") if alive else ("0", "stopped")
        owner = "root" if os.geteuid() == 0 else caller.name
        rows.append([state["name"], pid, status, state["bundle"], state["created"], owner])
    widths = [max(12, 1 + max(len(row[column]) for row in rows)) for column in range(5)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]  # noqa: B905
        lines.append("".join([*cells, row[5]]) + "\n")
    return "".join(lines)


def kill(config: Config, caller: Caller, name: str) -> None:
    """SIGHUP, and nothing else."""
    for state, alive in _running(config, caller):
        if state["name"] == name:
            if not alive:
                raise Refused(_runc_says("container not running"))
            os.kill(state["pid"], signal.SIGHUP)
            return
    raise Refused(_runc_says("container does not exist"))
