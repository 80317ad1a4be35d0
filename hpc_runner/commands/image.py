"""`hpc-runner image`: build, load and check what candidates run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hpc_runner.commands.options import (
    JsonOption,
    ProfileOption,
    SlurmOption,
    image_runtimes,
    images,
    use_profile,
)
from hpc_runner.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from hpc_runner.pipeline.profiles import Profile
    from hpc_runner.sandbox.inventory import Stored, Verified

__all__ = ["app"]

app = typer.Typer(
    help="What candidates run in: recipes, and the images built from them.", no_args_is_help=True
)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...", help="Recipes; all of them if none is named.", autocompletion=images
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        help="One of those that need images.",
        autocompletion=image_runtimes,
        show_default="each that works here",
    ),
]


@app.command()
def build(
    names: Names = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Replace what is built, with Debian's packages of today."),
    ] = False,
) -> None:
    """Build images from Debian packages, without a registry: one archive for every runtime."""
    from hpc_runner.sandbox import images

    for recipe in _recipes(names):
        before = images.find(recipe) if again else None
        image = images.ensure(recipe, _say, again=again)
        same = "; the same as before" if before and before.digest == image.digest else ""
        print(f"{recipe}  {image.reference}  {image.archive}{same}")


@app.command("list")
def list_images(names: Names = None, json: JsonOption = False) -> None:
    """List recipes: what is built, its digest and size, and which runtimes have it loaded."""
    from json import dumps

    from hpc_runner.sandbox.inventory import remains, stored, with_images

    found = stored(with_images(), names or ())
    old = remains()
    if json:
        rows = {
            "images": [item.model_dump() for item in found],
            "old_archives": [str(path) for path in old],
        }
        print(dumps(rows, indent=2))
        return
    for item in found:
        print(_line(item))
    if old:
        megabytes = sum(path.stat().st_size for path in old) / 1e6
        print(
            f"\n{len(old)} archives of {megabytes:.0f} MB belong to no recipe;"
            " `hpc-runner image prune` removes them"
        )


@app.command()
def load(
    names: Names = None,
    runtime: RuntimeOption = None,
    on_node: Annotated[
        bool,
        typer.Option("--on-node", help="Build here, and load on a compute node by a Slurm job."),
    ] = False,
    profile: ProfileOption = None,
    slurm: SlurmOption = None,
    wait: Annotated[
        int,
        typer.Option(help="Seconds for that job, in the queue and running.", metavar="S", min=1),
    ] = 1800,
) -> None:
    """Load images into a runtime; those that are missing are built first."""
    from hpc_runner.sandbox.inventory import with_images

    recipes = _recipes(names)
    if on_node:
        _load_on_node(recipes, runtime, use_profile(profile, slurm), wait)
        return
    if profile is not None or slurm:
        raise ConfigError("--profile and --slurm are for a compute node: give --on-node, too")
    targets = with_images(runtime)
    if not targets:
        raise ConfigError(
            "no runtime that needs images works here; `hpc-runner doctor` says why, and --runtime"
            " local needs none"
        )
    for recipe in recipes:
        for name, target in targets.items():
            image = target.ensure_image(recipe, _say)
            assert image is not None
            print(f"{name} has {image.reference}, sha256:{image.digest.hex()}")


def _load_on_node(recipes: list[str], runtime: str | None, profile: Profile, wait_s: int) -> None:
    """Nodes often have no network, so what is missing is built here."""
    from hpc_runner.pipeline.on_node import on_node
    from hpc_runner.sandbox import images

    for recipe in recipes:
        images.ensure(recipe, _say)
    named = runtime or profile.runtime
    words = ["image", "load", *recipes, *(["--runtime", named] if named else [])]
    _say("waiting for a compute node")
    print(on_node(words, profile, deadline_s=wait_s, time_min=30), end="")


@app.command()
def verify(names: Names = None, runtime: RuntimeOption = None, json: JsonOption = False) -> None:
    """Compute digests again and start an agent in each image; exit code 1 if one is wrong."""
    from json import dumps

    from hpc_runner.sandbox.inventory import verify as examine
    from hpc_runner.sandbox.inventory import with_images

    targets = with_images(runtime)
    found = [item for recipe in _recipes(names) for item in examine(recipe, targets, _say)]
    if json:
        print(dumps([item.model_dump() for item in found], indent=2))
    else:
        for item in found:
            print(_verdict(item))
    if not all(item.ok for item in found):
        raise typer.Exit(1)


@app.command()
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Name them and remove nothing.")
    ] = False,
) -> None:
    """Remove archives that no recipe names any more; what runtimes have loaded stays."""
    from hpc_runner.sandbox import inventory

    try:
        gone = inventory.remains() if dry_run else inventory.prune()
    except OSError as error:
        raise StorageError(f"{error.filename} can't be removed: {error.strerror}") from error
    for path in gone:
        print(path)
    print(f"{len(gone)} archives {'would be removed' if dry_run else 'removed'}")


def _recipes(names: list[str] | None) -> list[str]:
    """Raises ``ConfigError`` for a name that is no recipe, before anything is done."""
    from hpc_runner.sandbox import images

    return [images.read_recipe(name).name for name in names or images.recipes()]


def _line(item: Stored) -> str:
    head = f"{item.name:<10} "
    if item.reference is None or item.digest is None or item.size_bytes is None:
        return head + ("damaged: " if item.built else "not built: ") + (item.trouble or _HOW)
    loaded = ", ".join(f"{'' if there else 'not '}in {name}" for name, there in item.loaded.items())
    return (
        f"{head}{item.reference}  sha256:{item.digest[:12]}  {item.size_bytes / 1e6:.0f} MB"
        f"  {loaded or 'no runtime here takes images'}"
        + (f"\n           {item.trouble}" if item.trouble else "")
    )


_HOW = "`hpc-runner image build` does that from Debian packages"


def _verdict(item: Verified) -> str:
    head = f"{item.name:<10} {item.runtime or 'archive':<9} {'ok' if item.ok else 'WRONG'}"
    if item.error:
        return f"{head}: {item.error}"
    agent = f", Python {item.python}, isolation {item.isolation}" if item.python else ""
    return f"{head}: {item.reference}, sha256:{item.digest}{agent}"


def _say(line: str) -> None:
    typer.echo(line, err=True)
