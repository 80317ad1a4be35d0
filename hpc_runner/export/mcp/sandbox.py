"""Where a server runs its tools: warm agents on its own machine, which need nothing but Python.

What is needed beyond that, other runtimes and packages of candidates, is pooled.py's.
"""

from __future__ import annotations

import secrets
import sys
import threading
from typing import Any

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, RuntimeFailure
from hpc_runner.export.mcp.calls import Ran
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.model import Limits, Verdict
from hpc_runner.sandbox.agent import STRETCH
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.environments import named
from hpc_runner.sandbox.local import LocalRuntime, base_interpreter
from hpc_runner.sandbox.spec import AgentSpec

__all__ = ["AT_ONCE", "Sandbox", "interpreter_for", "request"]

AT_ONCE = 4
"""Calls at a time, each in an agent of its own."""
_SILENCE_S = 60.0
_HEADROOM_BYTES = 256 << 20
_HEADROOM_PROCESSES = 32


class Sandbox:
    """Agents of the ``local`` runtime, each started when a call finds none idle, at most
    ``AT_ONCE``; one that died is started anew for the next call.

    ``python``: the interpreter; ``require_isolation``: the least that will do.
    """

    def __init__(self, python: str, require_isolation: str) -> None:
        self._python = python
        self._require = require_isolation
        self._free = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._idle: list[_Warm] = []
        self._closed = False

    def run(self, program: str, stdin: str, tool: Tool) -> Ran:
        """Raises ``RuntimeFailure``."""
        with self._free:
            with self._lock:
                if self._closed:
                    raise RuntimeFailure("the sandbox is closed")
                warm = self._idle.pop() if self._idle else None
            if warm is not None and not warm.has_room(tool.limits):
                warm.agent.close()
                warm = None
            warm = warm or _Warm(self._python, self._require, tool.limits)
            try:
                ran = warm.run(program, stdin, tool)
            except BaseException:
                warm.agent.abort()
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(warm)
                    return ran
            warm.agent.close()
            return ran

    def close(self) -> None:
        """End the idle agents now, and those at work when they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for warm in idle:
            warm.agent.close()


class _Warm:
    """An agent with one slot."""

    def __init__(self, python: str, require_isolation: str, limits: Limits) -> None:
        self._limits = limits
        runtime = LocalRuntime(python)
        spec = AgentSpec(
            name=f"hpc-runner-tools-{secrets.token_hex(8)}",
            slots=1,
            require_isolation=require_isolation,
            memory_bytes=limits.memory_bytes + limits.file_bytes + _HEADROOM_BYTES,
            processes=limits.processes + _HEADROOM_PROCESSES,
        )
        self.agent = Agent(
            runtime.command(spec), runtime.environment(), kill=lambda: runtime.kill(spec.name)
        )

    def has_room(self, limits: Limits) -> bool:
        names = ("memory_bytes", "file_bytes", "processes")
        return all(getattr(limits, name) <= getattr(self._limits, name) for name in names)

    def run(self, program: str, stdin: str, tool: Tool) -> Ran:
        self.agent.submit(request(program, stdin, tool))
        answers = self.agent.answers(_SILENCE_S + 2 * STRETCH * tool.limits.wall_s)
        if not answers:
            raise RuntimeFailure("the agent doesn't answer any more")
        answer = answers[0]
        if answer.get("op") != "result":
            raise RuntimeFailure(f"the agent refused the call: {answer.get('reason')}")
        if answer["verdict"] == Verdict.INTERNAL_ERROR.value:
            raise RuntimeFailure(
                f"the sandbox failed: {answer['error_type']}: {answer['error_message']}"
            )
        stdout, stderr = answer["outputs"][0] if answer["outputs"] else ("", "")
        return Ran(answer["verdict"], stdout, stderr, answer["exit_code"])


def request(program: str, stdin: str, tool: Tool) -> dict[str, Any]:
    """To the agent: run a program once, whatever it prints."""
    case = {"stdin": stdin, "stdout": ""}
    return {
        "op": "run",
        "id": 1,
        "code": program,
        "tests": {"kind": "stdio", "cases": [case], "checker": "exact", "tolerance": 0.0},
        "limits": tool.limits.model_dump(mode="json"),
        "env": dict(tool.env),
        "outputs": True,
    }


def interpreter_for(tools: list[Tool]) -> tuple[str, str | None]:
    """An interpreter of this machine for these tools, and why it isn't one that they were
    validated with, where that is so."""
    wanted = [one.name for one in tools[0].provenance.environments]
    base = base_interpreter()
    here = "py" + "".join(map(str, sys.version_info[:2]))
    if here in wanted or not wanted:
        return base, None
    for name in wanted:
        try:
            (found,) = named(
                RunConfig.parse({"corpus": (), "environments": (name,)}), LocalRuntime()
            )
        except ConfigError:
            continue
        if found.interpreter is not None:
            return found.interpreter, None
    return base, f"validated in {', '.join(wanted)}; run here in {here}"
