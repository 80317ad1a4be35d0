"""Other programs, none of which we wait for longer than we want.

Not every process can be killed by whoever started it: Sarus runs as root.  What
doesn't end in time is left alone.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence

from hpc_runner.errors import RuntimeFailure

__all__ = ["abandon", "call", "ended", "said"]

_abandoned: list[subprocess.Popen[bytes]] = []  # kept, since dropping one is a ResourceWarning
_KILLED_S = 5.0


def call(
    argv: Sequence[str], environment: Mapping[str, str], deadline_s: float
) -> subprocess.CompletedProcess[str]:
    """Exit code and output of a program.  Raises ``RuntimeFailure`` when it can't be started,
    or when it doesn't end in ``deadline_s``, whether or not it can be killed then."""
    try:
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        raise RuntimeFailure(f"{argv[0]!r} can't be started: {error.strerror}") from error
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired as error:
        abandon(process)
        raise RuntimeFailure(f"{argv[0]} {argv[1]} didn't answer in {deadline_s:.0f} s") from error
    except BaseException:
        abandon(process)
        raise
    return subprocess.CompletedProcess(
        argv, process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )


def ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Whether it has ended, after waiting for that for at most so long."""
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def abandon(process: subprocess.Popen[bytes]) -> None:
    """Kill it if that is allowed, close our ends of its pipes, and go on without it."""
    with contextlib.suppress(PermissionError):
        process.kill()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    if not ended(process, _KILLED_S):
        _abandoned.append(process)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what a program said, or its exit code if it said nothing."""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"exit code {done.returncode}"
