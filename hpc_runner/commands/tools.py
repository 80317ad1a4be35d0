"""`hpc-runner tools`: the registry of tools that runs have made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpc_runner.commands.options import JsonOption, runtimes

if TYPE_CHECKING:
    from hpc_runner.export.mcp.tools import Tool
    from hpc_runner.export.registry import Registry

__all__ = ["app"]

app = typer.Typer(help="The registry of tools that runs have made.", no_args_is_help=True)

RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="DIR",
        envvar="HPC_RUNNER_TOOLS",
        help="The registry's directory.",
        show_default="~/.local/share/hpc_runner/tools",
    ),
]
CategoryOption = Annotated[
    str | None,
    typer.Option("--category", metavar="NAME", help="Only tools of this category."),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A tool's name.")]


@app.command("list")
def list_tools(
    registry: RegistryOption = None, category: CategoryOption = None, json: JsonOption = False
) -> None:
    """List the tools, the best ones first."""
    tools = _fitting(_open(registry).tools(), category)
    _print(sorted(tools, key=lambda tool: (-tool.quality.score, tool.name)), json)


@app.command()
def show(name: NameArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Show a tool: signature, examples, where it comes from, and its program."""
    tool = _open(registry).get(name)
    if json:
        print(tool.model_dump_json(indent=2))
        return
    found = tool.provenance
    print(f"{tool.signature}\n\n{tool.description}\n")
    print(f"category     {tool.category}: {', '.join(tool.capabilities)}")
    print(f"quality      {tool.quality.score:g} of 100")
    print(f"agreement    {found.agreement:.0%} of {found.judged} executions")
    print(f"run          {found.run_id}, task {found.task_id}")
    print(f"candidate    {found.candidate_id}")
    for example in tool.examples[:3]:
        origin = "validated" if example.validated else "observed"
        print(f"{origin:12} {example.arguments} -> {example.expected}")
    print(f"\n{tool.code}")


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="What it should do.")],
    registry: RegistryOption = None,
    category: CategoryOption = None,
    limit: Annotated[int, typer.Option(help="Tools to show.", min=1)] = 10,
    json: JsonOption = False,
) -> None:
    """Find tools by what they do, the best ones first."""
    from hpc_runner.export.registry import search as find

    tools = _fitting(_open(registry).tools(), category)
    _print([hit.tool for hit in find(tools, " ".join(words))[:limit]], json)


@app.command()
def remove(name: NameArgument, registry: RegistryOption = None) -> None:
    """Take a tool out of the registry."""
    _open(registry).remove(name)
    print(f"{name} is not registered any more")


@app.command()
def serve(
    registry: RegistryOption = None,
    category: CategoryOption = None,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Run the tools' code without isolation.")
    ] = False,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="What runs the tools' code.", show_default="local", autocompletion=runtimes
        ),
    ] = None,
) -> None:
    """Serve the tools as one MCP server over stdio, until stdin ends."""
    from hpc_runner.errors import ConfigError
    from hpc_runner.export.mcp.exporting import bundle, need_sdk
    from hpc_runner.export.mcp.server import serve_tools

    need_sdk()
    opened = _open(registry)
    tools = _fitting(opened.tools(), category)
    if not tools:
        raise ConfigError(
            f"no tool is registered in {opened.directory}; `hpc-runner export mcp RUN` makes some"
        )
    serve_tools(bundle(tools, "hpc_runner tools"), unsandboxed=unsandboxed, runtime=runtime)


@app.command()
def box(
    out: Annotated[Path, typer.Option(help="The file to write.")],
    registry: RegistryOption = None,
    category: CategoryOption = None,
) -> None:
    """Write the tools as an MCP box: name, description, code and usage of each."""
    import json

    from hpc_runner.export.registry import mcp_box
    from hpc_runner.results.files import atomic_file

    tools = _fitting(_open(registry).tools(), category)
    with atomic_file(out) as file:
        file.write((json.dumps(mcp_box(tools), indent=2, ensure_ascii=False) + "\n").encode())
    print(f"{len(tools):,} tools in {out}")


@app.command()
def request(
    requests: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSON: capabilities, each a name and a description."),
    ],
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Record capabilities that are wanted, and tell which ones a tool has already."""
    from hpc_runner.export.requests import read_requests, record

    found = record(_open(registry), read_requests(requests))
    if json:
        import json as encoder

        print(encoder.dumps([one.model_dump() for one in found], indent=2))
        return
    for one in found:
        print(f"{one.request.name}: {', '.join(one.tools) or 'no tool has it'}")


def _open(registry: str | None) -> Registry:
    from hpc_runner.export.registry import Registry, registry_directory

    return Registry(registry_directory(registry))


def _fitting(tools: list[Tool], category: str | None) -> list[Tool]:
    from hpc_runner.errors import ConfigError
    from hpc_runner.export.mcp.analysis import CATEGORIES

    if category is None:
        return tools
    if category not in CATEGORIES:
        known = ", ".join(CATEGORIES)
        raise ConfigError(f"--category: {category!r} is not known; there are {known}")
    return [tool for tool in tools if tool.category == category]


def _print(tools: list[Tool], as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps([tool.model_dump(mode="json") for tool in tools], indent=2))
        return
    for tool in tools:
        print(f"{tool.name:32} {tool.quality.score:5.1f}  {tool.category:10} {tool.title[:70]}")
