"""`hpc-runner run` and `hpc-runner resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpc_runner.commands.cluster_options import (
    ClusterOption,
    ProfileOption,
    SlurmOption,
    chosen_profile,
)
from hpc_runner.commands.options import (
    STOPPED,
    DryRunOption,
    QuietOption,
    RunArgument,
    open_run,
)
from hpc_runner.commands.planning import Asked, on_site, planning
from hpc_runner.commands.signatures import taking
from hpc_runner.errors import ConfigError

if TYPE_CHECKING:
    from hpc_runner.rundir import RunDir

__all__ = ["RESUME_EPILOG", "RUN_EPILOG", "resume", "run"]

RUN_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner run example\n\n"
    "hpc-runner run HumanEval.jsonl.gz --rounds 5 --out runs/humaneval\n\n"
    "hpc-runner run problems.jsonl samples.jsonl --timeout 3 --memory 512m\n\n"
    "hpc-runner run corpus.parquet --dry-run\n\n"
    "Repeating the command with the same --out goes on where it stopped. "
    "Exit code: 0 the run is complete, 1 trouble of ours, 2 a mistake in the command or the "
    "corpus, 130 stopped."
)
RESUME_EPILOG = (
    "A run that was cancelled or killed, by whatever, goes on where it stopped; "
    "what is finished is not run again."
)


@taking(planning)
def run(
    asked: Asked,
    out: Annotated[
        Path | None,
        typer.Option(help="The run's directory.", show_default="runs/CORPUS-DATE-TIME"),
    ] = None,
    cluster: ClusterOption = None,
    profile: ProfileOption = None,
    slurm: SlurmOption = None,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run every program of a corpus several times in a sandbox and vote on the verdicts."""
    from hpc_runner import session
    from hpc_runner.rundir import RunDir

    site = chosen_profile(cluster, profile, slurm)
    config = asked.config(site)
    if site is not None:
        site = on_site(site, config)
    target = RunDir((out or session.default_out(asked.paths[0])).absolute())
    if dry_run:
        session.show_plan(target, config, site)
        return
    session.prepare(target, config, site)
    _finish(target, config.workers, quiet=quiet)


def resume(
    run: RunArgument,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes.", show_default="as planned")
    ] = None,
    cluster: ClusterOption = None,
    profile: ProfileOption = None,
    slurm: SlurmOption = None,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run."""
    from hpc_runner.cluster import adopt
    from hpc_runner.machine import cores
    from hpc_runner.runinfo import read_info

    target = open_run(run)
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: at least 1 (found {workers})")
    site = chosen_profile(cluster, profile, slurm)
    if site is not None:
        adopt(target, site)
    if target.chain.exists() and cluster != "local" and not target.summary.exists():
        _resume_jobs(target)
        return
    planned = read_info(target).config.workers
    here = cluster == "local" and target.profile.exists()
    _finish(target, workers or (cores().usable if here else planned), quiet=quiet, here=here)


def _resume_jobs(run: RunDir) -> None:
    from hpc_runner.pipeline.coordinator_job import resume as resume_jobs

    job, new = resume_jobs(run)
    print(f"Job {job} {'was queued to coordinate' if new else 'coordinates'} {run.root}")


def _finish(run: RunDir, workers: int, *, quiet: bool, here: bool = False) -> None:
    from hpc_runner import session

    if not session.run_to_end(run, workers, quiet=quiet, here=here):
        raise typer.Exit(STOPPED)
