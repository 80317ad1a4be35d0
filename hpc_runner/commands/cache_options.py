"""The options of `hpc-runner run` that are about the result cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hpc_runner.errors import ConfigError

__all__ = [
    "AGES",
    "CacheMaxAge",
    "CacheMaxSize",
    "CacheOption",
    "NoDedup",
    "cache_values",
    "seconds",
]

AGES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
"""Seconds in the units of an age."""
_PANEL = "Cache"

CacheOption = Annotated[
    str,
    typer.Option(
        "--cache",
        envvar="HPC_RUNNER_CACHE",
        metavar="DIR|on|off|readonly",
        help="Where votes of earlier runs are looked up and new ones kept; on: the user's own.",
        rich_help_panel=_PANEL,
    ),
]
CacheMaxAge = Annotated[
    str | None,
    typer.Option(
        metavar="AGE", help="Don't use older entries: 90d, 12h, 30m.", rich_help_panel=_PANEL
    ),
]
CacheMaxSize = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Above it, what was used longest ago is removed.",
        rich_help_panel=_PANEL,
    ),
]
NoDedup = Annotated[
    bool,
    typer.Option(
        "--no-dedup", help="Execute identical programs once each.", rich_help_panel=_PANEL
    ),
]


def cache_values(cache: str, max_age: str | None, max_size: str) -> dict[str, Any]:
    """The keys of ``CacheConfig``.  Raises ``ConfigError``."""
    from hpc_runner.commands.options import size
    from hpc_runner.results.cache import default_directory

    if cache == "off":
        return {}
    directory = default_directory() if cache in ("on", "readonly") else Path(cache)
    return {
        "directory": str(directory.absolute()),
        "readonly": cache == "readonly",
        "max_age_s": None if max_age is None else seconds(max_age, "--cache-max-age"),
        "max_bytes": size(max_size, "--cache-max-size"),
    }


def seconds(text: str, option: str) -> float:
    """Of an age such as 90d.  Raises ``ConfigError``, naming the option."""
    number, unit = text.strip().lower()[:-1], text.strip().lower()[-1:]
    try:
        found = float(number) * AGES[unit]
    except (KeyError, ValueError):
        found = -1.0
    if not 0 <= found < 1e11:
        raise ConfigError(f"{option}: an age such as 90d, 12h or 30m (found {text!r})")
    return found
