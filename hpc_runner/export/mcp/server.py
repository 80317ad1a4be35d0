"""An MCP server over tools: what a generated server and `hpc-runner tools serve` start.

Over stdio, with the official SDK, which is loaded when a server starts and not before.  A
call's arguments are checked against the tool's schema, unknown ones refused; the program runs
in the sandbox; whatever goes wrong in it is an error of the tool.  stdout belongs to the
protocol: nothing else is printed there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_runner.config import ISOLATION_LEVELS
from hpc_runner.errors import ConfigError, HpcRunnerError
from hpc_runner.export.mcp.calls import Outcome, Place, call
from hpc_runner.export.mcp.sandbox import Sandbox, interpreter_for
from hpc_runner.export.mcp.tools import Tool, ToolSet, read_tools

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp_types import CallToolResult

__all__ = ["main", "make_server", "open_place", "serve_tools"]


def main(tools: Path, arguments: Sequence[str] | None = None) -> None:
    """Serve the tools of the file ``tools`` over stdio until stdin ends: a generated server's
    whole program.  Exits with 2 when it can't."""
    parser = argparse.ArgumentParser(
        prog=sys.argv[0].rpartition("/")[2], description="An MCP server over stdio."
    )
    parser.add_argument(
        "--unsandboxed",
        action="store_true",
        help="run the tools' code as an ordinary process, without isolation",
    )
    parser.add_argument(
        "--require-isolation",
        choices=ISOLATION_LEVELS,
        help="the least isolation that will do (default: as it was validated with)",
    )
    parser.add_argument(
        "--runtime",
        metavar="NAME",
        help="local (the default), docker, podman, sarus or auto; needs all of hpc_runner",
    )
    options = parser.parse_args(arguments)
    try:
        serve_tools(
            read_tools(tools),
            unsandboxed=options.unsandboxed,
            runtime=options.runtime,
            require_isolation=options.require_isolation,
        )
    except HpcRunnerError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def serve_tools(
    tools: ToolSet,
    *,
    unsandboxed: bool = False,
    runtime: str | None = None,
    require_isolation: str | None = None,
) -> None:
    """Over stdio, until stdin ends.  Raises ``ConfigError`` for a runtime that doesn't work."""
    import anyio

    place = open_place(list(tools.tools), unsandboxed, runtime, require_isolation)
    try:
        anyio.run(_over_stdio, make_server(tools, place))
    finally:
        place.close()


def open_place(
    tools: list[Tool], unsandboxed: bool, runtime: str | None, require_isolation: str | None
) -> Place:
    """Where these tools run; says on stderr what isn't as it was when they were validated.

    Raises ``ConfigError``.
    """
    strictest = max(
        (tool.provenance.require_isolation for tool in tools), key=ISOLATION_LEVELS.index
    )
    required = require_isolation or strictest
    packages = any(tool.dependencies for tool in tools)
    if unsandboxed and (packages or runtime):
        raise ConfigError("--unsandboxed is neither for a runtime nor for tools with packages")
    if packages or runtime:
        if find_spec("pyarrow") is None:
            raise ConfigError("--runtime and tools with packages need all of hpc_runner")
        from hpc_runner.export.mcp.pooled import as_wanted

        return as_wanted(tools, runtime or "local", required)
    python, differs = interpreter_for(tools)
    if differs:
        print(f"warning: {differs}", file=sys.stderr)
    if unsandboxed:
        from hpc_runner.export.mcp.bare import Bare

        print("warning: --unsandboxed: the tools' code runs without isolation", file=sys.stderr)
        return Bare(python)
    return Sandbox(python, required)


async def _over_stdio(server: Server[Any]) -> None:
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def make_server(tools: ToolSet, place: Place) -> Server[Any]:
    """The SDK's server, without a transport."""
    import anyio.to_thread
    import mcp_types as protocol
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import MCPError

    known = tools.by_name()
    inputs = {name: Draft202012Validator(tool.input_schema()) for name, tool in known.items()}
    outputs = {name: Draft202012Validator(tool.output_schema()) for name, tool in known.items()}
    listed = [_listed(tool) for tool in tools.tools]

    async def on_list(context: Any, params: Any) -> protocol.ListToolsResult:
        return protocol.ListToolsResult(tools=listed)

    async def on_call(context: Any, params: Any) -> protocol.CallToolResult:
        tool = known.get(params.name)
        if tool is None:
            raise MCPError(code=protocol.INVALID_PARAMS, message=f"no tool {params.name!r}")
        arguments = params.arguments or {}
        wrong = [_problem(error) for error in inputs[tool.name].iter_errors(arguments)]
        if wrong:
            return _result(Outcome(error="; ".join(wrong)))
        try:
            outcome = await anyio.to_thread.run_sync(call, tool, arguments, place)
        except HpcRunnerError as error:
            return _result(Outcome(error=f"the sandbox failed: {error}"))
        if outcome.error is None:
            unlike = [_problem(e) for e in outputs[tool.name].iter_errors(outcome.content)]
            if unlike:
                declared = "its answer is not what the tool declares: " + "; ".join(unlike)
                outcome = Outcome(error=declared)
        return _result(outcome)

    return Server(
        tools.name,
        version=tools.version,
        title=tools.title,
        instructions=tools.description,
        on_list_tools=on_list,
        on_call_tool=on_call,
    )


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place}: {error.message}"[:300] if place else str(error.message)[:300]


def _result(outcome: Outcome) -> CallToolResult:
    import mcp_types as protocol

    if outcome.error is not None:
        content = protocol.TextContent(type="text", text=outcome.error)
        return protocol.CallToolResult(content=[content], is_error=True)
    shown = json.dumps(outcome.content, ensure_ascii=False)
    content = protocol.TextContent(type="text", text=shown)
    return protocol.CallToolResult(content=[content], structured_content=outcome.content)


def _listed(tool: Tool) -> Any:
    import mcp_types as protocol

    found = tool.provenance
    inferred = [one.name for one in tool.parameters if one.source == "inferred"]
    if tool.returns_source == "inferred":
        inferred.append("return")
    return protocol.Tool(
        name=tool.name,
        title=tool.title,
        description=f"{tool.description}\n\n{tool.signature}",
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=protocol.ToolAnnotations(
            read_only_hint=True,  # the sandbox is empty and gone after each call
            idempotent_hint="varies" not in tool.capabilities,
            open_world_hint=False,
        ),
        _meta={
            "hpc-runner/candidate": found.candidate_id,
            "hpc-runner/task": found.task_id,
            "hpc-runner/agreement": found.agreement,
            "hpc-runner/quality": tool.quality.score,
            "hpc-runner/category": tool.category,
            "hpc-runner/capabilities": list(tool.capabilities),
            "hpc-runner/inferred": inferred,
        },
    )
