"""Calling tools without isolation, where a user asked for that: a process of its own for each
call, with limits of CPU, memory, files and time, and nothing else between it and the machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hpc_runner.errors import RuntimeFailure
from hpc_runner.export.mcp.calls import Ran
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.model import Limits, Verdict

__all__ = ["Bare"]

_SPACE_BYTES = 256 << 20
"""An address space is larger than what is used of it."""
_LAUNCH = """
import json, resource, sys
for name, most in json.loads(sys.argv[1]).items():
    resource.setrlimit(getattr(resource, name), (most, most))
with open(sys.argv[2], encoding="utf-8") as file:
    program = file.read()
sys.argv[:] = [sys.argv[2]]
exec(compile(program, "program.py", "exec", dont_inherit=True))
"""


class Bare:
    """Runs programs with ``python`` in an empty directory that is gone afterwards."""

    def __init__(self, python: str) -> None:
        self._python = python

    def run(self, program: str, stdin: str, tool: Tool) -> Ran:
        """Raises ``RuntimeFailure`` when the interpreter can't be started."""
        with tempfile.TemporaryDirectory(prefix="hpc_runner-tool-") as directory:
            work = Path(directory, "work")
            work.mkdir()
            path = Path(directory, "program.py")
            path.write_text(program, encoding="utf-8")
            Path(directory, "stdin").write_bytes(stdin.encode("utf-8", "surrogatepass"))
            return self._run(path, work, tool.env, tool.limits)

    def close(self) -> None:
        """Nothing outlives a call."""

    def _run(self, path: Path, work: Path, env: Mapping[str, str], limits: Limits) -> Ran:
        most = {
            "RLIMIT_CPU": int(limits.cpu_s or limits.wall_s) + 1,
            "RLIMIT_FSIZE": max(limits.file_bytes, limits.output_bytes),
            "RLIMIT_AS": limits.memory_bytes + _SPACE_BYTES,
        }
        out, err = path.with_name("stdout"), path.with_name("stderr")
        argv = [self._python, "-I", "-B", "-c", _LAUNCH, json.dumps(most), str(path)]
        with path.with_name("stdin").open("rb") as read, out.open("wb") as o, err.open("wb") as e:
            try:
                process = subprocess.Popen(
                    argv,
                    env={"PATH": os.defpath, "LANG": "C.UTF-8", **env},
                    cwd=work,
                    stdin=read,
                    stdout=o,
                    stderr=e,
                    start_new_session=True,
                )
            except OSError as error:
                why = f"{self._python} can't be started: {error.strerror}"
                raise RuntimeFailure(why) from error
            try:
                code = process.wait(limits.wall_s)
            except subprocess.TimeoutExpired:
                return Ran(Verdict.TIME_LIMIT.value, "", "", None)
            finally:
                _end(process)
        if max(out.stat().st_size, err.stat().st_size) > limits.output_bytes:
            return Ran(Verdict.OUTPUT_LIMIT.value, "", "", None)
        verdict = Verdict.ACCEPTED if code == 0 else Verdict.RUNTIME_ERROR
        stdout, stderr = (one.read_bytes().decode("utf-8", "replace") for one in (out, err))
        return Ran(verdict.value, stdout, stderr, code)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
