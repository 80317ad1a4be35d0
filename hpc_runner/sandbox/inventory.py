"""Which images there are, in the cache and in the runtimes, and whether they hold what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hpc_runner.errors import ConfigError, HpcRunnerError, ImageError
from hpc_runner.sandbox import images
from hpc_runner.sandbox.apptainer import CHECKSUM, image_file
from hpc_runner.sandbox.runtimes import RUNTIMES, Runtime
from hpc_runner.sandbox.selfcheck import check_agent
from hpc_runner.sandbox.spec import Image

__all__ = ["Stored", "Verified", "prune", "remains", "stored", "verify", "with_images"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stored(_Model):
    """One recipe and what has come of it."""

    name: str
    suite: str
    """Of Debian."""
    built: bool
    archive: str
    """Where its archive lies, or will."""
    size_bytes: int | None
    """Of the archive."""
    reference: str | None
    digest: str | None
    """Hex SHA-256 of the image's configuration."""
    loaded: dict[str, bool]
    """Runtime → whether it has this image; only those that work here."""
    trouble: str | None
    """Why the archive can't be used, or whether it can be built where there is none."""


class Verified(_Model):
    """One image in one runtime."""

    name: str
    runtime: str | None
    """None: no runtime was there to start an agent in it; the archive alone was read."""
    ok: bool
    reference: str | None
    digest: str | None
    python: str | None
    isolation: str | None
    """The level that the agent reached: limits, filtered or full."""
    mechanisms: tuple[str, ...] = ()
    error: str | None = None


def with_images(
    name: str | None = None, table: Mapping[str, Callable[[], Runtime]] = RUNTIMES
) -> dict[str, Runtime]:
    """The runtimes that need images and work here, or the named one.

    Raises ``ConfigError`` when the named one is unknown, needs no image or doesn't work.
    """
    if name is None:
        every = {key: make() for key, make in table.items()}
        return {key: one for key, one in every.items() if one.needs_image and one.available().ok}
    runtime = table[name]() if name in table else None
    if runtime is None or not runtime.needs_image:
        known = ", ".join(key for key, make in table.items() if make().needs_image)
        raise ConfigError(f"--runtime {name}: images are for {known}")
    found = runtime.available()
    if not found.ok:
        raise ConfigError(f"runtime {name!r} doesn't work here: {found.reason}; {found.mend}")
    return {name: runtime}


def stored(runtimes: Mapping[str, Runtime], names: Sequence[str] = ()) -> list[Stored]:
    """Every recipe, or the named ones.  Raises ``ConfigError`` for one that isn't there."""
    return [_stored(images.read_recipe(name), runtimes) for name in names or images.recipes()]


def _stored(recipe: images.Recipe, runtimes: Mapping[str, Runtime]) -> Stored:
    built = recipe.archive.exists()
    image, trouble = None, None
    try:
        image = images.find(recipe.name)
        if image is None and not (can := images.obtainable(recipe.name)).ok:
            trouble = f"{can.reason}; {can.mend}"
    except HpcRunnerError as error:
        trouble = str(error)
    loaded = {}
    if image is not None:
        for name, runtime in runtimes.items():
            try:
                loaded[name] = runtime.has_image(image)
            except HpcRunnerError as error:
                trouble = trouble or str(error)
    return Stored(
        name=recipe.name,
        suite=recipe.suite,
        built=built,
        archive=str(recipe.archive),
        size_bytes=recipe.archive.stat().st_size if built else None,
        reference=image.reference if image else None,
        digest=image.digest.hex() if image else None,
        loaded=loaded,
        trouble=trouble,
    )


def verify(
    name: str, runtimes: Mapping[str, Runtime], progress: Callable[[str], None]
) -> list[Verified]:
    """Read the whole archive, and start an agent in each of the runtimes, loading it if needed.

    Nothing is built.  Raises ``ConfigError`` for an unknown recipe; whatever else is
    wrong stands in the answer.
    """
    image = None
    blank = {"name": name, "reference": None, "digest": None, "python": None, "isolation": None}
    try:
        image = images.find(name)
        if image is None:
            missing = f"it is not built; `hpc-runner image build {name}` does that"
            return [
                Verified.model_validate({**blank, "runtime": None, "ok": False, "error": missing})
            ]
        progress(f"reading {image.archive}")
        images.verify(image)
    except ConfigError:
        raise
    except HpcRunnerError as error:
        return [
            Verified.model_validate({**blank, "runtime": None, "ok": False, "error": str(error)})
        ]
    pinned = {**blank, "reference": image.reference, "digest": image.digest.hex()}
    if not runtimes:
        return [Verified.model_validate({**pinned, "runtime": None, "ok": True})]
    return [_started(pinned, image, runtime, progress) for runtime in runtimes.values()]


def _started(
    pinned: Mapping[str, object], image: Image, runtime: Runtime, progress: Callable[[str], None]
) -> Verified:
    try:
        runtime.ensure_image(image.name, progress)
        progress(f"starting an agent in {image.reference} with {runtime.name}")
        hello = check_agent(runtime, image)
    except HpcRunnerError as error:
        found: dict[str, object] = {"ok": False, "error": str(error)}
    else:
        found = {
            "ok": True,
            "python": hello.python,
            "isolation": hello.isolation,
            "mechanisms": hello.mechanisms,
        }
    return Verified.model_validate({**pinned, "runtime": runtime.name, **found})


def remains() -> list[Path]:
    """Files in the cache that belong to no recipe any more: archives of another version of a
    recipe or of the builder, or of a recipe that is gone, and image files of other contents."""
    kept, unsure = set(), []
    for recipe in map(images.read_recipe, images.recipes()):
        kept.add(recipe.archive.name)
        try:
            image = images.find(recipe.name)
        except ImageError:
            image = None
        if image is not None:
            kept |= {name + more for name in [image_file(image)] for more in ("", CHECKSUM)}
        else:  # which image file it would have isn't known
            unsure.append(f"{recipe.name}-")
    return sorted(
        path
        for path in images.cache_dir().glob("*")
        if path.name.endswith((".tar", ".sif", ".sif" + CHECKSUM))
        and path.name not in kept
        and not (".sif" in path.suffixes and path.name.startswith(tuple(unsure)))
    )


def prune() -> list[Path]:
    """Remove them; returns which.  Other checkouts of hpc_runner that share the cache build
    theirs again.  Raises OSError."""
    gone = remains()
    for path in gone:
        path.unlink(missing_ok=True)
    return gone
