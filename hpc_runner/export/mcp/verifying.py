"""Whether a server does what it says: started in a process of its own and called over stdio by
the official client, before anyone relies on it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_runner.export.mcp.tools import Tool, ToolSet, read_tools

__all__ = ["Verified", "verify"]

START_S = 120.0


@dataclass(frozen=True)
class Verified:
    """What came of it."""

    tools: int
    """That the server listed."""
    calls: int
    problems: tuple[str, ...]
    """None: every example gave what was validated."""


def verify(
    package: Path, command: Sequence[str] | None = None, *, only_first: bool = False
) -> Verified:
    """Start the server whose package is ``package``, list its tools, and call each of them with
    its examples and with an argument that there isn't.

    ``command``: starts the server; this interpreter if not given.  ``only_first``: one example
    of each tool.  Raises ``StorageError`` when there is no ``tools.json``, ``ConfigError``
    without the SDK; whatever the server does wrong is a problem.
    """
    import anyio

    tools = read_tools(package / "tools.json")
    argv = list(command or [sys.executable, "-B", "-m", package.name])
    try:
        return anyio.run(_verified, tools, argv, package.parent, only_first)
    except Exception as error:  # whatever a server that doesn't work makes the client raise
        return Verified(0, 0, (f"the server doesn't answer: {_innermost(error)}",))


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:500]


async def _verified(tools: ToolSet, argv: list[str], source: Path, only_first: bool) -> Verified:
    from mcp import Client, StdioServerParameters

    parameters = StdioServerParameters(
        command=argv[0], args=argv[1:], env={"PYTHONPATH": str(source)}
    )
    problems: list[str] = []
    calls = 0
    async with Client(parameters, read_timeout_seconds=START_S) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        wanted = tools.by_name()
        if set(listed) != set(wanted):
            problems.append(f"it lists {', '.join(sorted(listed))}")
        for name in sorted(set(listed) & set(wanted)):
            tool = wanted[name]
            if listed[name].input_schema != tool.input_schema():
                problems.append(f"{name}: another input schema is listed")
            for example in tool.examples[: 1 if only_first else None]:
                calls += 1
                problems += await _problems(client, tool, example.arguments, example.expected)
            odd = await client.call_tool(name, {"no such argument": 1})
            if not odd.is_error:
                problems.append(f"{name}: an unknown argument is not refused")
    return Verified(len(listed), calls, tuple(problems))


async def _problems(client: Any, tool: Tool, arguments: Any, expected: Any) -> list[str]:
    answer = await client.call_tool(tool.name, arguments)
    if answer.is_error:
        return [f"{tool.name}({arguments!r:.200}): {answer.content[0].text[:300]}"]
    if answer.structured_content != expected:
        found = repr(answer.structured_content)[:200]
        return [f"{tool.name}({arguments!r:.200}): expected {expected!r:.200}, got {found}"]
    return []
