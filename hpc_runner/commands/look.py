"""Commands that look at a run, or stop it, and `hpc-runner doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from hpc_runner.commands.options import (
    JsonOption,
    ProfileOption,
    RunArgument,
    SlurmOption,
    open_run,
    use_profile,
)
from hpc_runner.errors import ConfigError

__all__ = ["cancel", "doctor", "report", "status"]


def status(
    run: RunArgument,
    json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it every second until the run ends.")
    ] = False,
) -> None:
    """Show how far a run is; also from another machine that sees its directory."""
    from hpc_runner import session

    session.show_status(open_run(run), as_json=json, watch=watch)


def report(run: RunArgument, json: JsonOption = False) -> None:
    """Print the summary of a run, of what is finished when it isn't complete."""
    from hpc_runner import session

    session.show_summary(open_run(run), as_json=json)


def doctor(
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Look at a compute node, too, by a small Slurm job.")
    ] = False,
    profile: ProfileOption = None,
    slurm: SlurmOption = None,
    wait: Annotated[
        int,
        typer.Option(
            help="Seconds for that job, in the queue and running; then it is cancelled.",
            metavar="S",
            min=1,
        ),
    ] = 120,
    json: JsonOption = False,
) -> None:
    """Probe what this machine can do, and say how to mend what doesn't work."""
    from hpc_runner.doctor import compare, examine
    from hpc_runner.doctor_text import render, render_comparison

    if not cluster:
        if profile is not None or slurm:
            raise ConfigError("--profile and --slurm are for a compute node: give --cluster, too")
        checks = examine()
        print(checks.model_dump_json(indent=2) if json else render(checks))
        return
    found = compare(use_profile(profile, slurm), wait)
    print(found.model_dump_json(indent=2) if json else render_comparison(found))
    if found.node is None:
        raise typer.Exit(1)


def cancel(run: RunArgument) -> None:
    """Stop a run; it can be resumed."""
    from hpc_runner.pipeline.coordinator import cancel as stop

    target = open_run(run)
    if target.profile.exists() and not target.summary.exists():
        from hpc_runner.pipeline.coordinator_job import cancel as stop_jobs

        if target.info.exists():
            stop(target)
        stop_jobs(target)
        print(f"Its jobs commit what is finished and end; `hpc-runner resume {run}` goes on.")
        return
    found = stop(target)
    if found is None:
        print(f"Nothing was running. Marked as cancelled; `hpc-runner resume {run}` goes on.")
    elif found.here:
        print(f"Asked {found} to stop; `hpc-runner resume {run}` goes on.")
    else:
        print(f"{found} stops when it sees the mark; `hpc-runner resume {run}` goes on.")
