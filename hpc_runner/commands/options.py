"""What several commands share: their options, and how they open a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpc_runner.errors import ConfigError

if TYPE_CHECKING:
    from hpc_runner.pipeline.profiles import Profile
    from hpc_runner.rundir import RunDir

__all__ = [
    "JUDGING",
    "SANDBOX",
    "STOPPED",
    "WORK",
    "DryRunOption",
    "JsonOption",
    "ProfileOption",
    "QuietOption",
    "RunArgument",
    "SlurmOption",
    "environment_names",
    "formats",
    "image_runtimes",
    "images",
    "levels",
    "open_run",
    "runtimes",
    "size",
    "switch",
    "use_profile",
]

STOPPED = 130
"""Exit code of a run that a signal or `cancel` stopped."""

JUDGING, SANDBOX, WORK = "What is run, and how often", "Sandbox", "Work and output"
"""Panels of the help."""

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        help="The cluster's profile; docs/slurm.md explains it.",
        show_default="the site's defaults",
    ),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        help="A value of the profile, instead of the file's. May be repeated.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the plan and leave nothing behind.", rich_help_panel=WORK
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def formats() -> list[str]:
    from hpc_runner.config import FORMATS

    return ["auto", *FORMATS]


def runtimes() -> list[str]:
    from hpc_runner.sandbox.runtimes import RUNTIMES

    return ["auto", *RUNTIMES]


def images() -> list[str]:
    from hpc_runner.sandbox.images import recipes

    return recipes()


def image_runtimes() -> list[str]:
    from hpc_runner.sandbox.runtimes import RUNTIMES

    return [name for name, make in RUNTIMES.items() if make().needs_image]


def levels() -> list[str]:
    return ["limits", "filtered", "full"]


def environment_names(text: str | None) -> tuple[str, ...]:
    """What stands between the commas; paths become absolute ones."""
    words = [] if text is None else [word.strip() for word in text.split(",")]
    if not all(words):
        raise ConfigError(f"--environments: names with commas between (found {text!r})")
    return tuple(str(Path(word).absolute()) if "/" in word else word for word in words)


def open_run(path: Path) -> RunDir:
    from hpc_runner.rundir import RunDir

    return RunDir(path.absolute())


def switch(option: str, value: str) -> bool:
    """True for "on", False for "off"."""
    if value not in ("on", "off"):
        raise ConfigError(f"{option}: on or off (found {value!r})")
    return value == "on"


def use_profile(path: Path | None, given: list[str] | None) -> Profile:
    """The cluster's profile, with its variables set here as on the nodes.  Raises
    ``ConfigError``."""
    from hpc_runner.pipeline.profile_files import load_profile

    profile = load_profile(path, given or ())
    os.environ.update(profile.variables())
    return profile


def size(text: str, option: str = "--memory") -> int:
    """Bytes: 268435456, 256m, 256M, 256MiB and 1.5g are understood."""
    units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        return int(float(number.removesuffix(unit)) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise ConfigError(f"{option}: a size such as 256m or 1g (found {text!r})") from None
