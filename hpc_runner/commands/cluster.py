"""Commands for runs on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from hpc_runner.commands.options import RunArgument, open_run

__all__ = ["LOGS_EPILOG", "logs"]

LOGS_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner logs runs/humaneval --shard 12\n\n"
    "hpc-runner logs runs/humaneval --follow"
)


def logs(
    run: RunArgument,
    shard: Annotated[
        int | None, typer.Option(help="Only this shard's.", show_default="all", min=0)
    ] = None,
    wave: Annotated[
        int | None, typer.Option(help="Only this wave's.", show_default="all", min=0)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
) -> None:
    """Print what workers wrote on stderr."""
    import time

    from hpc_runner.pipeline import logs as reading
    from hpc_runner.runinfo import read_info

    target = open_run(run)
    read_info(target)
    found = reading.Logs(target, wave, shard)
    if not follow:
        found.check()
    lines = (
        reading.follow(found, target.summary.exists, lambda: time.sleep(1))
        if follow
        else found.read(whole=True)
    )
    alone = shard is not None and (wave is not None or len(target.waves()) == 1)
    for line in lines:
        prefix = "" if alone else f"{line.wave:03d}/{line.shard:05d} "
        print(f"{prefix}{line.text}", flush=follow)
