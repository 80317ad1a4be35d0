"""The options that say on which cluster a run is, and how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpc_runner.errors import ConfigError

if TYPE_CHECKING:
    from hpc_runner.pipeline.profiles import Profile

__all__ = ["ClusterOption", "ProfileOption", "SlurmOption", "chosen_profile"]

_PANEL = "Cluster"
CLUSTERS = ("local", "slurm")

ClusterOption = Annotated[
    str | None,
    typer.Option(
        help="Where workers run: local, on this machine; slurm, as job arrays.",
        autocompletion=lambda: list(CLUSTERS),
        show_default="local",
        rich_help_panel=_PANEL,
    ),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        help="The site's profile, such as slurm/profiles/generic.toml.",
        metavar="FILE",
        rich_help_panel=_PANEL,
    ),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        help="A key of the profile, as partition=debug or coordinator.time=10. May be repeated.",
        metavar="KEY=VALUE",
        rich_help_panel=_PANEL,
    ),
]


def chosen_profile(
    cluster: str | None, profile: Path | None, slurm: Sequence[str] | None
) -> Profile | None:
    """None for workers on this machine.  Raises ``ConfigError``."""
    if cluster not in (None, *CLUSTERS):
        raise ConfigError(f"--cluster: one of {', '.join(CLUSTERS)} (found {cluster!r})")
    if cluster != "slurm":
        if profile is not None or slurm:
            given = "--profile" if profile is not None else "--slurm"
            raise ConfigError(f"{given} is for clusters: give --cluster slurm as well")
        return None
    from hpc_runner.pipeline.profile_files import load_profile

    return load_profile(profile, slurm or ())
