"""Calling a tool: in the sandbox that its program was validated in, never in our own process.

What a program does is a value here, its errors included; an exception is trouble of ours.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, RuntimeFailure
from hpc_runner.export.mcp import sandboxed
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.model import Limits, Verdict
from hpc_runner.sandbox.agent import STRETCH
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.environments import named
from hpc_runner.sandbox.local import LocalRuntime, base_interpreter
from hpc_runner.sandbox.spec import AgentSpec

__all__ = ["Outcome", "Place", "Ran", "Sandbox", "call", "interpreter_for"]

_SILENCE_S = 60.0
_HEADROOM_BYTES = 128 << 20
_HEADROOM_PROCESSES = 16
_SHOWN = 2000

_WORDS = {
    Verdict.TIME_LIMIT.value: "it took longer than its limit of {limits.wall_s:g} s",
    Verdict.MEMORY_LIMIT.value: "it used more memory than its {limits.memory_bytes:,} bytes",
    Verdict.OUTPUT_LIMIT.value: "it wrote more than its limit of {limits.output_bytes:,} bytes",
    Verdict.COMPILE_ERROR.value: "it doesn't compile here",
}


@dataclass(frozen=True)
class Ran:
    """A program that was run."""

    verdict: str
    """accepted and wrong_answer: it ended by itself, with exit code 0."""
    stdout: str
    stderr: str
    exit_code: int | None


class Place(Protocol):
    """Where programs are run.  Safe for use by several threads."""

    def run(self, program: str, stdin: str, env: Mapping[str, str], limits: Limits) -> Ran:
        """Raises ``RuntimeFailure`` when that can't be done here."""

    def close(self) -> None:
        """End what it started."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call."""

    content: dict[str, Any] = field(default_factory=dict)
    """As ``Tool.output_schema`` has it, if there is no error."""
    error: str | None = None


def call(tool: Tool, arguments: Mapping[str, Any], place: Place) -> Outcome:
    """``arguments`` must be valid by ``tool.input_schema()``.  Raises ``RuntimeFailure``."""
    if tool.kind == "script":
        return _script(tool, arguments, place)
    nonce = secrets.token_hex(16)
    request = {
        "code": tool.code,
        "function": tool.function,
        "arguments": dict(arguments),
        "kinds": {one.name: one.type for one in tool.parameters},
        "positional": _positional(tool, arguments),
        "nonce": nonce,
    }
    ran = place.run(_program(request), "", tool.env, tool.limits)
    if ran.verdict in _WORDS:
        return Outcome(error=_WORDS[ran.verdict].format(limits=tool.limits))
    before, found, after = ran.stdout.rpartition(f"\n{nonce} ")
    if not found:
        said = f": {_last_line(ran.stderr)}" if ran.stderr.strip() else ""
        return Outcome(error=f"it ended before it had a result{said}")
    return _answer(after, before)


def _positional(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """The arguments before the first one that is left out: those after it go by name."""
    names: list[str] = []
    for one in tool.parameters:
        if one.keyword_only or one.name not in arguments:
            break
        names.append(one.name)
    return names


def _answer(text: str, printed: str) -> Outcome:
    try:
        answer = json.loads(text.partition("\n")[0])
        if "error" in answer:
            return Outcome(error=f"{answer['kind']}: {answer['error']}".rstrip(": ")[:_SHOWN])
        content = {"result": answer["value"]}
        if answer.get("changed"):
            content["changed"] = dict(answer["changed"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Outcome(error="what it answered is no result")
    if printed:
        content["printed"] = printed
    return Outcome(content)


def _script(tool: Tool, arguments: Mapping[str, Any], place: Place) -> Outcome:
    request = {"code": tool.code, "argv": list(arguments.get("arguments", []))}
    ran = place.run(_program(request), str(arguments.get("stdin", "")), tool.env, tool.limits)
    if ran.verdict in _WORDS:
        return Outcome(error=_WORDS[ran.verdict].format(limits=tool.limits))
    if ran.exit_code is None or ran.exit_code < 0:
        return Outcome(error=f"it was ended by a signal: {_last_line(ran.stderr)}")
    content = {"stdout": ran.stdout, "stderr": ran.stderr, "exit_code": ran.exit_code}
    if ran.exit_code:
        return Outcome(error=f"exit code {ran.exit_code}: {ran.stderr[-_SHOWN:].strip()}")
    return Outcome(content)


def _program(request: Mapping[str, Any]) -> str:
    source = Path(sandboxed.__file__).read_text(encoding="utf-8")
    return f"{source}\n\nmain(json.loads({json.dumps(request)!a}))\n"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""


class Sandbox:
    """A warm agent on this machine, started when it is first needed and again when it has died.

    ``python``: the interpreter; ``require_isolation``: the least that will do.
    """

    def __init__(self, python: str, require_isolation: str) -> None:
        self._python = python
        self._require = require_isolation
        self._lock = threading.Lock()
        self._agent: Agent | None = None
        self._room: tuple[int, int] = (0, 0)
        self._next = 0

    def run(self, program: str, stdin: str, env: Mapping[str, str], limits: Limits) -> Ran:
        with self._lock:
            agent = self._ready(limits)
            self._next += 1
            try:
                answer = self._ask(agent, _request(self._next, program, stdin, env, limits), limits)
            except BaseException:
                self._agent = None
                agent.abort()
                raise
        stdout, stderr = answer["outputs"][0] if answer["outputs"] else ("", "")
        code = answer["exit_code"]
        return Ran(answer["verdict"], stdout, stderr, code)

    def close(self) -> None:
        with self._lock:
            agent, self._agent = self._agent, None
            if agent is not None:
                agent.close()

    def _ask(self, agent: Agent, request: dict[str, Any], limits: Limits) -> dict[str, Any]:
        agent.submit(request)
        answers = agent.answers(_SILENCE_S + 2 * STRETCH * limits.wall_s)
        if not answers:
            raise RuntimeFailure("the agent doesn't answer any more")
        answer = answers[0]
        if answer.get("op") != "result":
            raise RuntimeFailure(f"the agent refused the call: {answer.get('reason')}")
        if answer["verdict"] == Verdict.INTERNAL_ERROR.value:
            raise RuntimeFailure(
                f"the sandbox failed: {answer['error_type']}: {answer['error_message']}"
            )
        return answer

    def _ready(self, limits: Limits) -> Agent:
        """An agent that has room for these limits."""
        room = (limits.memory_bytes + limits.file_bytes, limits.processes)
        if self._agent is not None and room[0] <= self._room[0] and room[1] <= self._room[1]:
            return self._agent
        if self._agent is not None:
            agent, self._agent = self._agent, None
            agent.close()
        self._room = (max(room[0], self._room[0]), max(room[1], self._room[1]))
        runtime = LocalRuntime(self._python)
        spec = AgentSpec(
            name=f"hpc-runner-tools-{secrets.token_hex(8)}",
            slots=1,
            require_isolation=self._require,
            memory_bytes=self._room[0] + 2 * _HEADROOM_BYTES,
            processes=self._room[1] + 2 * _HEADROOM_PROCESSES,
        )
        self._agent = Agent(
            runtime.command(spec), runtime.environment(), kill=lambda: runtime.kill(spec.name)
        )
        return self._agent


def _request(
    identity: int, program: str, stdin: str, env: Mapping[str, str], limits: Limits
) -> dict[str, Any]:
    case = {"stdin": stdin, "stdout": ""}
    return {
        "op": "run",
        "id": identity,
        "code": program,
        "tests": {"kind": "stdio", "cases": [case], "checker": "exact", "tolerance": 0.0},
        "limits": limits.model_dump(mode="json"),
        "env": dict(env),
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
