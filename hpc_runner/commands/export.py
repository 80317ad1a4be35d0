"""`hpc-runner export`: what leaves a run.

`export RUN --format F` writes its results; `export mcp RUN` makes MCP servers of what it
accepted, and so does `export RUN --format mcp`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hpc_runner.commands.options import RunArgument, open_run, runtimes
from hpc_runner.errors import ConfigError

__all__ = ["app"]

RESULTS_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner export runs/humaneval --format humaneval --out results.jsonl\n\n"
    "hpc-runner export runs/humaneval --format parquet --out results.parquet"
)
MCP_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner export mcp runs/humaneval --task HumanEval/0 --out servers\n\n"
    "hpc-runner export mcp runs/humaneval --bundle --out servers"
)


class _Group(TyperGroup):
    """`export RUN ...` is `export results RUN ...`; a run called mcp is written ./mcp."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["results", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="Write a run's results for other programs, or MCP servers of what it accepted.",
    no_args_is_help=True,
)

OutOption = Annotated[
    Path | None,
    typer.Option(help="The file to write, or the directory.", show_default="named after the run"),
]
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


@app.command(epilog=RESULTS_EPILOG)
def results(
    run: RunArgument,
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="humaneval: one line per sample with 'passed' and 'result'; jsonl and parquet: "
            "one row per sample with its vote; mcp: as `hpc-runner export mcp`.",
            autocompletion=lambda: ["humaneval", "jsonl", "parquet", "mcp"],
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write.", show_default="named after the corpus, here"),
    ] = None,
) -> None:
    """Write a run's results for other programs; `export RUN` is the same."""
    from hpc_runner.export.run import EXPORTS, default_name, export_run
    from hpc_runner.runinfo import read_info

    target = open_run(run)
    if format == "mcp":
        _servers(run, out)
        return
    corpus = read_info(target).config.corpus
    path = out or Path(default_name(corpus[-1], format) if format in EXPORTS else format)
    rows = export_run(target, format, path)
    print(f"{rows:,} rows in {path}")


@app.command(epilog=MCP_EPILOG)
def mcp(
    run: RunArgument,
    out: OutOption = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Only candidates of this task, or of those that fit a pattern such as "
            "'HumanEval/1*'. May be repeated.",
        ),
    ] = None,
    min_agreement: Annotated[
        float,
        typer.Option(help="Least share of a candidate's executions that accepted it.", metavar="P"),
    ] = 1.0,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="One server with all tools, not one for each.")
    ] = False,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="Where programs are tried that may become tools.",
            show_default="as in the run",
            autocompletion=runtimes,
        ),
    ] = None,
    wheels: Annotated[
        bool,
        typer.Option(
            "--wheels",
            help="Put all packages that servers need beside them, for machines with this Python "
            "and platform that reach no index.",
        ),
    ] = False,
    registry: RegistryOption = None,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="Don't put the tools into the registry.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make MCP servers of what a run accepted, call them, and register those that work."""
    _servers(
        run,
        out,
        tasks=tuple(task or ()),
        min_agreement=min_agreement,
        bundle=bundle,
        wheels=wheels,
        runtime=runtime,
        registry=registry,
        register=not no_register,
        quiet=quiet,
    )


def _servers(
    run: Path,
    out: Path | None,
    *,
    tasks: tuple[str, ...] = (),
    min_agreement: float = 1.0,
    bundle: bool = False,
    wheels: bool = False,
    runtime: str | None = None,
    registry: str | None = None,
    register: bool = True,
    quiet: bool = False,
) -> None:
    import os
    import sys

    from hpc_runner.export.mcp.exporting import Options, export_run_tools
    from hpc_runner.export.registry import Registry, registry_directory

    def say(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr)

    target = open_run(run)
    path = (out or Path(f"{target.root.name}-mcp")).absolute()
    options = Options(bundle=bundle, wheels=wheels, progress=say)
    made = export_run_tools(
        target, path, options, tasks=tasks, min_agreement=min_agreement, runtime=runtime
    )
    if register and made.servers:
        directory = registry_directory(registry or os.environ.get("HPC_RUNNER_TOOLS"))
        Registry(directory).add_all([(server.name, server.tools) for _, server in made.servers])
        say(f"registered in {directory}")
    servers = f"{len(made.servers):,} server{'s' if len(made.servers) != 1 else ''}"
    print(
        f"{servers} with {len(made.tools):,} tools in {path}; {made.merged:,} programs do the same"
        f" as another one, {len(made.no_tool):,} are no tool, {len(made.failed):,} servers failed"
    )
    if not made.servers and not made.failed:
        raise ConfigError(f"nothing of {run} became a server; {path / 'export.json'} says why")
    if made.failed:
        raise typer.Exit(1)
