"""Calling a tool: in the sandbox that its program was validated in, never in our own process.

What a program does is a value here, its errors included; an exception is trouble of ours.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hpc_runner.export.mcp import sandboxed
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.model import Verdict

__all__ = ["Outcome", "Place", "Ran", "call", "recorded"]

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

    def run(self, program: str, stdin: str, tool: Tool) -> Ran:
        """Run it as the program of ``tool`` was: its limits, variables and packages.  Raises an
        ``InfrastructureError`` when that can't be done here."""

    def close(self) -> None:
        """End what it started."""


@dataclass(frozen=True)
class Outcome:
    """What came of a call."""

    content: dict[str, Any] = field(default_factory=dict)
    """As ``Tool.output_schema`` has it, if there is no error."""
    error: str | None = None


def call(tool: Tool, arguments: Mapping[str, Any], place: Place) -> Outcome:
    """``arguments`` must be valid by ``tool.input_schema()``.  Raises as ``Place.run``."""
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
    ran = place.run(_program(request), "", tool)
    if ran.verdict in _WORDS:
        return Outcome(error=_WORDS[ran.verdict].format(limits=tool.limits))
    before, found, after = ran.stdout.rpartition(f"\n{nonce} ")
    if not found:
        said = f": {_last_line(ran.stderr)}" if ran.stderr.strip() else ""
        return Outcome(error=f"it ended before it had a result{said}")
    return _answer(after, before)


def recorded(
    tool: Tool, tests: Sequence[str], unittest: bool, place: Place, most: int
) -> list[str]:
    """Calls of the tool's function that these tests make, each as the text of its positional and
    keyword arguments; none when it can't be told.  Raises as ``Place.run``."""
    nonce = secrets.token_hex(16)
    request = {"code": tool.code, "function": tool.function, "nonce": nonce, "most": most}
    request |= {"tests": list(tests), "unittest": unittest}
    ran = place.run(_program(request), "", tool)
    _, found, after = ran.stdout.rpartition(f"\n{nonce} ")
    try:
        answer = json.loads(after.partition("\n")[0]) if found else {}
        return [str(one) for one in answer.get("calls", [])]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []


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
            said = f"{answer['kind']}: {answer['error']}".rstrip(": ")[:_SHOWN]
            return Outcome(error=said.encode("utf-8", "replace").decode())
        _must_be_plain(answer)
        content = {"result": answer["value"]}
        if answer.get("changed"):
            content["changed"] = dict(answer["changed"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Outcome(error="what it answered is no result")
    if printed:
        content["printed"] = printed
    return Outcome(content)


def _must_be_plain(value: Any, depth: int = 0) -> None:
    """Raises ValueError for what a JSON message can't hold: a program may have written its answer
    itself, and what can't be sent on would end the server."""
    if depth > sandboxed.MAX_DEPTH + 2:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a number")
    elif isinstance(value, list | dict):
        for item in value:
            _must_be_plain(item, depth + 1)
        if isinstance(value, dict):
            for item in value.values():
                _must_be_plain(item, depth + 1)


def _script(tool: Tool, arguments: Mapping[str, Any], place: Place) -> Outcome:
    request = {"code": tool.code, "argv": list(arguments.get("arguments", []))}
    ran = place.run(_program(request), str(arguments.get("stdin", "")), tool)
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
