"""From the accepted candidates of a run to verified servers.

    OUT/NAME/            a server: one for each tool, or one for all
    OUT/wheels/          hpc_runner itself, for servers that are started without an index
    OUT/failed/NAME/     a server that didn't do what it says, and isn't registered
    OUT/export.json      what became of each candidate

A server is registered after it was started in a process of its own and called by the official
client with everything that it was validated with.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hpc_runner.errors import ConfigError
from hpc_runner.export.mcp.calls import Place
from hpc_runner.export.mcp.chosen import chosen
from hpc_runner.export.mcp.making import NoTool, make_tool
from hpc_runner.export.mcp.merging import distinct
from hpc_runner.export.mcp.names import server_name, unique
from hpc_runner.export.mcp.package import module_name, write_server
from hpc_runner.export.mcp.pooled import as_validated
from hpc_runner.export.mcp.tools import Provenance, Tool, ToolSet
from hpc_runner.export.mcp.verifying import Verified, verify
from hpc_runner.export.mcp.wheel import own_wheel, wheels_of_dependencies
from hpc_runner.model import Candidate
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = [
    "Exported",
    "Options",
    "bundle",
    "export_run_tools",
    "export_tools",
    "make_tools",
    "need_sdk",
]

AT_ONCE = 2
VERSION = "1.0.0"
"""Of a server: what is exported anew is another server."""


@dataclass(frozen=True)
class Options:
    """How tools are exported."""

    bundle: bool = False
    """One server with all tools, instead of one for each."""
    wheels: bool = False
    """Beside them lies all that servers need, not only hpc_runner."""
    progress: Callable[[str], None] = lambda text: None


@dataclass
class Exported:
    """What became of the candidates."""

    servers: list[tuple[Path, ToolSet]] = field(default_factory=list)
    """Those that do what they say."""
    failed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Server → why it isn't registered."""
    no_tool: dict[str, str] = field(default_factory=dict)
    """Candidate (hex) → why it became no tool."""
    merged: int = 0
    """Candidates that do the same as another one."""

    @property
    def tools(self) -> list[Tool]:
        return [tool for _, server in self.servers for tool in server.tools]


def export_run_tools(
    run: RunDir,
    out: Path,
    options: Options,
    *,
    tasks: Sequence[str] = (),
    min_agreement: float = 1.0,
    runtime: str | None = None,
) -> Exported:
    """Servers for what a run accepted, tried in the run's own runtime if none is named.

    Raises ``ConfigError`` without the SDK, for a directory that isn't empty or a runtime that
    doesn't work here, ``RunError``, ``StorageError`` and ``RuntimeFailure``.
    """
    need_sdk()
    info = read_info(run)
    _must_be_empty(out)
    corpus = Path(info.config.corpus[0]).name.partition(".")[0]
    candidates = chosen(run, tasks, min_agreement)
    place = as_validated(info, runtime)
    try:
        tools, exported = make_tools(candidates, place, options)
    finally:
        place.close()
    title = f"Tools from {corpus}"
    return export_tools(tools, out, options, title=title, exported=exported)


def need_sdk() -> None:
    """Raises ``ConfigError`` when the official SDK isn't installed."""
    if find_spec("mcp") is None:
        raise ConfigError("the MCP SDK is not installed: `pip install 'hpc-runner[mcp]'` brings it")


def make_tools(
    candidates: Iterable[tuple[Candidate, Provenance]], place: Place, options: Options
) -> tuple[list[Tool], Exported]:
    """Tools with names of their own, without those that do the same.  Raises ``RuntimeFailure``."""
    exported = Exported()
    made: list[Tool] = []

    def make(one: tuple[Candidate, Provenance]) -> tuple[str, Tool | NoTool]:
        candidate, provenance = one
        return provenance.candidate_id, make_tool(candidate, provenance, place)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for candidate_id, tool in pool.map(make, candidates):
            if isinstance(tool, NoTool):
                exported.no_tool[candidate_id] = tool.reason
            else:
                made.append(tool)
    options.progress(f"{len(made)} programs can be called")
    kept = distinct(made, place)
    exported.merged = len(made) - len(kept)
    named: dict[str, Tool] = {}
    for tool in kept:
        name = unique(tool.name, tool.provenance.task_id, named)
        named[name] = tool.model_copy(update={"name": name})
    return list(named.values()), exported


def export_tools(
    tools: Sequence[Tool], out: Path, options: Options, *, title: str, exported: Exported
) -> Exported:
    """Write servers for ``tools`` below ``out`` and verify them.  Raises ``ConfigError`` for a
    directory that isn't empty, ``StorageError``."""
    _must_be_empty(out)
    if tools:
        serving = not any(tool.dependencies for tool in tools)
        wheels = {"hpc-runner": own_wheel(out / "wheels", serving=serving)}
        if options.wheels:
            wheels |= wheels_of_dependencies(out / "wheels", serving=serving)
        sets = [bundle(tools, title)] if options.bundle else [_single(t) for t in tools]
        for one in sets:
            write_server(one, out / one.name, wheels)
        _verify_all(sets, out, options, exported)
    write_json(out / "export.json", _report(exported))
    return exported


def _must_be_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty directory; give another one with --out")


def _single(tool: Tool) -> ToolSet:
    name = server_name(tool.name)
    return ToolSet(
        name=name, version=VERSION, title=tool.title, description=tool.description, tools=(tool,)
    )


def bundle(tools: Sequence[Tool], title: str) -> ToolSet:
    """One server with all of them."""
    counted = f"{len(tools)} tool{'s' if len(tools) != 1 else ''}"
    return ToolSet(
        name=server_name(title),
        version=VERSION,
        title=title,
        description=f"{counted}, made from programs that were run and judged.",
        tools=tuple(tools),
    )


def _verify_all(sets: Sequence[ToolSet], out: Path, options: Options, exported: Exported) -> None:
    def one(server: ToolSet) -> Verified:
        package = out / server.name / "src" / module_name(server.name)
        return verify(package)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for server, found in zip(sets, pool.map(one, sets), strict=True):
            if found.problems:
                exported.failed[server.name] = found.problems
                (out / "failed").mkdir(exist_ok=True)
                shutil.move(out / server.name, out / "failed" / server.name)
                options.progress(f"{server.name}: {found.problems[0]}")
            else:
                exported.servers.append((out / server.name, server))
                calls = f"{found.calls} calls of {found.tools} tools"
                options.progress(f"{server.name}: {calls} gave what was validated")


def _report(exported: Exported) -> dict[str, Any]:
    return {
        "servers": [
            {
                "name": server.name,
                "tools": [tool.name for tool in server.tools],
                "candidates": [tool.provenance.candidate_id for tool in server.tools],
            }
            for _, server in exported.servers
        ],
        "failed": {name: list(why) for name, why in exported.failed.items()},
        "no_tool": exported.no_tool,
        "merged": exported.merged,
    }
