"""`hpc-runner cache`: look after the votes that are kept from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpc_runner.commands.cache_options import AGES, seconds
from hpc_runner.commands.options import JsonOption
from hpc_runner.errors import ConfigError

if TYPE_CHECKING:
    from hpc_runner.results.cache import Cache, Keep

__all__ = ["app"]

app = typer.Typer(help="Votes that are kept from run to run.", no_args_is_help=True)

DirectoryOption = Annotated[
    str | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        envvar="HPC_RUNNER_CACHE",
        help="The cache's directory.",
        show_default="~/.cache/hpc_runner/results",
    ),
]


@app.command()
def stats(directory: DirectoryOption = None, json: JsonOption = False) -> None:
    """Count hits, misses, entries, bytes and evictions."""
    from dataclasses import asdict
    from json import dumps

    found = _open(directory).stats()
    rows = asdict(found) | {"hit_rate": found.hit_rate}
    if json:
        print(dumps(rows, indent=2))
        return
    rate = "nothing was looked up" if found.hit_rate is None else f"{found.hit_rate:.1%}"
    ages = [found.oldest_s, found.newest_s]
    oldest, newest = ("" if age is None else _age(age) for age in ages)
    print(f"directory   {found.directory}")
    print(f"entries     {found.entries:,} in {found.segments:,} files, {found.bytes:,} bytes")
    print(f"age         {f'{newest} to {oldest}' if oldest else 'empty'}")
    print(f"looked up   {found.hits:,} hits, {found.misses:,} misses: {rate}")
    print(f"evictions   {found.evictions:,}")
    print(f"damaged     {found.damaged:,} files set aside")


@app.command("list")
def list_entries(
    directory: DirectoryOption = None,
    limit: Annotated[int, typer.Option(help="Entries to show, the last used first.")] = 20,
    json: JsonOption = False,
) -> None:
    """List entries, those that were used last first."""
    from json import dumps

    rows = (
        _open(directory)
        .query(
            "SELECT lower(hex(key)) AS key, verdict, agreement, judged, isolation, run_id, "
            "epoch(created_at) AS created_at, epoch(last_used) AS last_used "
            "FROM entries ORDER BY last_used DESC, entries.key LIMIT $limit",
            {"limit": limit},
        )
        .to_pylist()
    )
    for row in rows:
        if json:
            print(dumps(row))
        else:
            print(
                f"{row['key'][:16]}  {row['verdict']:<16} {row['judged']:>3} judged  "
                f"{row['isolation']:<8}  {row['run_id']}"
            )


@app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The start of an entry's key, in hex.")],
    directory: DirectoryOption = None,
) -> None:
    """Show everything about an entry, as JSON."""
    from json import dumps

    if not key or set(key.lower()) - set("0123456789abcdef"):
        raise ConfigError(f"KEY: hexadecimal digits, as `cache list` shows them (found {key!r})")
    rows = (
        _open(directory)
        .query(
            "SELECT * FROM entries WHERE starts_with(lower(hex(key)), $start) "
            "ORDER BY entries.key, created_at LIMIT 10",
            {"start": key.lower()},
        )
        .to_pylist()
    )
    if not rows:
        raise ConfigError(f"no entry's key starts with {key}")
    for row in rows:
        print(dumps(row, indent=2, default=_plain))


@app.command()
def prune(
    directory: DirectoryOption = None,
    max_age: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove older entries: 90d, 12h, 30m.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Keep to this size: 2g, 500m.")
    ] = None,
    max_entries: Annotated[int | None, typer.Option(help="Keep so many.")] = None,
) -> None:
    """Remove entries that are too old, then those that were used longest ago."""
    gone = _open(directory, keep=_keep(max_age, max_size, max_entries)).prune()
    print(f"{gone:,} entries removed")


@app.command()
def verify(
    directory: DirectoryOption = None,
    sample: Annotated[
        str, typer.Option(metavar="SHARE", help="How many entries to execute again: 1%, 0.01.")
    ] = "1%",
    workers: Annotated[
        int | None, typer.Option(help="Worker processes.", show_default="the cores that are ours")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove the entries that don't hold.")
    ] = False,
) -> None:
    """Execute a sample of the entries again and report those that don't hold any more."""
    from hpc_runner.machine import cores
    from hpc_runner.pipeline.cache_check import check_entries

    cache = _open(directory)
    checked = check_entries(
        cache,
        _share(sample),
        workers=workers or cores().usable,
        progress=lambda line: typer.echo(line, err=True),
    )
    for found in checked.differences:
        now = found.found or "unjudged or without consensus"
        print(f"{found.key.hex()[:16]}  {found.task_id}: cached {found.cached}, now {now}")
    print(
        f"{checked.sampled:,} of {checked.entries:,} entries: {checked.held:,} hold, "
        f"{len(checked.differences):,} do not; of {checked.gone:,} the run is gone"
    )
    if checked.differences and forget:
        cache.forget([found.key for found in checked.differences])
    if checked.differences:
        raise typer.Exit(1)


@app.command()
def clear(
    directory: DirectoryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Remove every entry."""
    cache = _open(directory)
    entries = cache.stats().entries
    if not yes and not typer.confirm(f"Remove {entries:,} entries of {cache.directory}?"):
        raise typer.Exit(1)
    cache.clear()
    print(f"{entries:,} entries removed")


def _open(directory: str | None, *, keep: Keep | None = None) -> Cache:
    """The cache there, or the user's own; what is damaged is said on stderr."""
    from hpc_runner.results.cache import Cache, default_directory

    def say(text: str) -> None:
        typer.echo(text, err=True)

    given = None if directory in (None, "on", "off", "readonly") else Path(str(directory))
    return Cache((given or default_directory()).absolute(), keep=keep, say=say)


def _keep(max_age: str | None, max_size: str | None, max_entries: int | None) -> Keep:
    """Raises ``ConfigError`` for what is no age, size or number."""
    from hpc_runner.commands.options import size
    from hpc_runner.results.cache import Keep

    if max_entries is not None and max_entries < 0:
        raise ConfigError(f"--max-entries: at least 0 (found {max_entries})")
    return Keep(
        seconds=None if max_age is None else seconds(max_age, "--max-age"),
        bytes=None if max_size is None else size(max_size, "--max-size"),
        entries=max_entries,
    )


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise ConfigError(f"--sample: a share such as 1% or 0.01 (found {text!r})")
    return share


def _age(seconds: float) -> str:
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * AGES[unit]:
            return f"{seconds / AGES[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
