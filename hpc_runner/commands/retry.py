"""`hpc-runner retry`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hpc_runner.commands.options import QuietOption, RunArgument, open_run
from hpc_runner.errors import ConfigError

__all__ = ["RETRY_EPILOG", "retry"]

RETRY_EPILOG = (
    "Candidates that are unjudged because their dependencies can't be had are left alone: "
    "that was decided when the run was planned."
)


def retry(
    run: RunArgument,
    unjudged: Annotated[
        bool, typer.Option("--unjudged", help="Every execution that ended as internal_error.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes.", show_default="as planned")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Run again what failed through no fault of a candidate, and vote anew."""
    from hpc_runner.commands.run import resume
    from hpc_runner.pipeline.retry import reopen_unjudged
    from hpc_runner.report.words import counted

    if not unjudged:
        raise ConfigError("say what is to be run again: `hpc-runner retry RUN --unjudged`")
    target = open_run(run)
    found = reopen_unjudged(target)
    if found.hopeless:
        print(
            f"{counted(found.hopeless, 'candidate')} left alone: the dependencies can't be had; "
            "a new run tries again",
            file=sys.stderr,
        )
    if not found.executions:
        print("There is nothing to run again.")
        return
    print(
        f"{counted(found.executions, 'execution')} of {counted(found.candidates, 'candidate')} "
        f"in {counted(found.shards, 'shard')} run again",
        file=sys.stderr,
    )
    resume(run, workers=workers, quiet=quiet)
