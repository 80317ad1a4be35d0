"""`hpc-runner patterns`: what repairs have taught."""

from __future__ import annotations

from typing import Annotated

import typer

from hpc_runner.commands.options import JsonOption

__all__ = ["PATTERNS_EPILOG", "patterns"]

PATTERNS_EPILOG = (
    "A kind of failure is a language, a verdict and an error. Runs with --refine choose the "
    "strategy by these rates, and now and then try another one."
)


def patterns(
    directory: Annotated[
        str | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            envvar="HPC_RUNNER_PATTERNS",
            help="Where patterns are kept.",
            show_default="~/.cache/hpc_runner/patterns",
        ),
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Show the shortest repair that worked, too.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List which strategy has repaired which kind of failure, and how often."""
    from json import dumps
    from pathlib import Path

    from hpc_runner.refine.patterns import Patterns, default_directory

    store = Patterns(Path(directory).absolute() if directory else default_directory(), print)
    rows = store.rows()
    if json:
        for row in rows:
            print(dumps(row))
        return
    if not rows:
        print(f"{store.directory} holds no patterns yet: runs with --refine make them")
    for row in rows:
        cost = "" if row["usd_each"] is None else f"  ${row['usd_each']:.4f} each"
        print(
            f"{row['error_class']:<40} {row['strategy']:<25} "
            f"{row['accepted']:>6,} of {row['tried']:>6,}  {row['rate']:>6.1%}{cost}"
        )
        if examples and row["example"]:
            print("\n".join(f"    {line}" for line in row["example"].splitlines()))
