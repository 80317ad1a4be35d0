"""Commands for runs on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpc_runner.commands.cluster_options import ProfileOption, SlurmOption, chosen_profile
from hpc_runner.commands.options import DryRunOption, RunArgument, open_run
from hpc_runner.commands.planning import Asked, on_site, planning
from hpc_runner.commands.signatures import taking

__all__ = ["LOGS_EPILOG", "SUBMIT_EPILOG", "logs", "submit"]

SUBMIT_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner submit corpus.jsonl --profile site.toml --out /scratch/me/run\n\n"
    "hpc-runner status /scratch/me/run --watch\n\n"
    "No process stays here. Repeating the command adds nothing; after `cancel`, `resume` goes on."
)

LOGS_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner logs runs/humaneval --shard 12\n\n"
    "hpc-runner logs runs/humaneval --follow"
)


@taking(planning)
def submit(
    asked: Asked,
    out: Annotated[Path, typer.Option(help="The run's directory, which every node sees.")],
    profile: ProfileOption = None,
    slurm: SlurmOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Have Slurm jobs do all of a run, its planning too, and return at once."""
    from hpc_runner import session
    from hpc_runner.rundir import RunDir

    given = chosen_profile("slurm", profile, slurm)
    assert given is not None
    config = asked.config(given)
    site = on_site(given, config)
    target = RunDir(out.absolute())
    if dry_run:
        session.show_plan(target, config, site, jobs=True)
        return
    job = session.submit(target, config, site)
    print(f"Job {job} coordinates {target.root}; `hpc-runner status {out}` tells how far it is")


def logs(
    run: RunArgument,
    shard: Annotated[
        int | None, typer.Option(help="Only this shard's.", show_default="all", min=0)
    ] = None,
    wave: Annotated[
        int | None, typer.Option(help="Only this wave's.", show_default="all", min=0)
    ] = None,
    coordinator: Annotated[
        bool, typer.Option("--coordinator", help="Those of the coordinators that are Slurm jobs.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
) -> None:
    """Print what workers, or coordinators, wrote on stderr."""
    import time

    from hpc_runner.pipeline import logs as reading
    from hpc_runner.runinfo import read_info

    target = open_run(run)
    if not target.chain.exists():
        read_info(target)
    found = reading.Logs(target, wave, shard, coordinator=coordinator)
    if not follow:
        found.check()
    lines = (
        reading.follow(found, target.summary.exists, lambda: time.sleep(1))
        if follow
        else found.read(whole=True)
    )
    alone = coordinator or (shard is not None and (wave is not None or len(target.waves()) == 1))
    for line in lines:
        prefix = "" if alone else f"{line.wave:03d}/{line.shard:05d} "
        print(f"{prefix}{line.text}", flush=follow)
