"""Images: recipes, and the archives that are built from them.

A recipe is ``containers/NAME/recipe.toml``.  What is built from it is one
docker-archive in the cache, ``NAME-<digest of the recipe>.tar``, which ``docker
load``, ``podman load`` and ``sarus load`` all take; whatever archive lies there
under that name is used, be it built by us or saved from a Dockerfile's image.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import tarfile
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_runner.errors import ConfigError, ImageError
from hpc_runner.model import canonical_json
from hpc_runner.sandbox import bootstrap
from hpc_runner.sandbox.libraries import hook
from hpc_runner.sandbox.spec import Availability, Image
from hpc_runner.sandbox.toolchains import PYTHON, TOOLCHAINS

RECIPE_LABEL = "org.hpc-runner.recipe"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Recipe:
    """What an image is made of: Debian packages, and nothing else."""

    name: str
    suite: str
    packages: tuple[str, ...]
    entry: tuple[str, ...]
    env: dict[str, str]
    languages: tuple[str, ...] = ()
    """Beside Python, those that its programs can be written in; their libraries are compiled
    when it is built."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 of all that decides what is built, but for the packages' versions."""
        content = {
            "suite": self.suite,
            "packages": sorted(self.packages),
            "entry": self.entry,
            "env": self.env,
            "builder": bootstrap.VERSION,
            "architecture": architecture(),
        }
        if self.languages:
            content["hooks"] = self.hooks
        return hashlib.sha256(canonical_json(content)).hexdigest()

    @property
    def hooks(self) -> tuple[str, ...]:
        """What is done in its root file system when the packages are there."""
        return tuple(script for name in self.languages if (script := hook(name)) is not None)

    @property
    def archive(self) -> Path:
        """Where its archive lies, or will."""
        return cache_dir() / f"{self.name}-{self.digest[:16]}.tar"


def containers_dir() -> Path:
    """Recipes and the seccomp profile: in an installed package, or else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "containers_data"
    return installed if installed.is_dir() else package.parent / "containers"


DIRECTORY = "HPC_RUNNER_IMAGES"
"""Environment variable: where archives are kept instead of in the user's cache."""


def cache_dir() -> Path:
    """Where archives are kept; not created here.  Raises ``ConfigError``."""
    if given := os.environ.get(DIRECTORY):
        if not Path(given).is_absolute():
            raise ConfigError(f"{DIRECTORY} must be an absolute path (found {given!r})")
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return cache / "hpc_runner" / "images"


def architecture() -> str:
    """This machine's, in Debian's and Docker's words."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def recipes() -> list[str]:
    """Names of the recipes that there are."""
    return sorted(path.parent.name for path in containers_dir().glob("*/recipe.toml"))


def read_recipe(name: str, directory: Path | None = None) -> Recipe:
    """Raises ``ConfigError`` when there is none of that name, or it isn't one."""
    file = (directory or containers_dir()) / name / "recipe.toml"
    if not _NAME.fullmatch(name) or not file.is_file():
        raise ConfigError(f"image {name!r} has no recipe; there are {', '.join(recipes())}")
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{file}: not a TOML file: {error}") from error
    kinds = {"suite": str, "packages": list, "entry": list, "env": dict, "languages": list}
    for key, kind in kinds.items():
        if key == "languages" and key not in values:
            continue
        if not isinstance(values.get(key), kind):
            found = repr(values.get(key, "nothing"))
            raise ConfigError(f"{file}: {key!r} must be a {kind.__name__}, found {found}")
    for key in values.keys() - kinds.keys():
        raise ConfigError(f"{file}: {key!r} is not known; there are {', '.join(kinds)}")
    languages = values.get("languages", [])
    words = [values["suite"], *values["packages"], *values["entry"], *values["env"].values()]
    words += languages
    for word in words:
        if not isinstance(word, str):
            raise ConfigError(f"{file}: {word!r} must be a string")
    for language in languages:
        if language not in TOOLCHAINS:
            raise ConfigError(f"{file}: no toolchain for {language!r}; see docs/languages.md")
    return Recipe(
        name,
        values["suite"],
        tuple(values["packages"]),
        tuple(values["entry"]),
        values["env"],
        tuple(languages),
    )


def image_for(languages: Collection[str]) -> str:
    """The recipe with all of these languages and as few others as can be.  Raises
    ``ConfigError`` when none has them."""
    wanted = set(languages) - {PYTHON}
    able = [
        (len(recipe.languages), name)
        for name in recipes()
        if wanted <= set((recipe := read_recipe(name)).languages)
    ]
    if not able:
        raise ConfigError(f"no image has {', '.join(sorted(wanted))}; see docs/languages.md")
    return min(able)[1]


def find(name: str) -> Image | None:
    """The image of a recipe if its archive is in the cache.  Raises ``ConfigError``, and
    ``ImageError`` when the archive is damaged."""
    archive = read_recipe(name).archive
    return read_archive(name, archive) if archive.exists() else None


def obtainable(name: str) -> Availability:
    """Whether ``ensure`` has a chance, without building anything."""
    try:
        recipe = read_recipe(name)
    except ConfigError as error:
        return Availability(False, str(error), "name one of them with --environments")
    if recipe.archive.exists():
        return Availability(True, f"image {name!r} is in {recipe.archive.parent}")
    missing = bootstrap.missing()
    if missing:
        return Availability(False, f"image {name!r} is not built and {missing}", _how(recipe))
    return Availability(True, f"image {name!r} can be built from Debian packages")


def ensure(name: str, progress: Callable[[str], None], *, again: bool = False) -> Image:
    """The image of a recipe, built where its archive is not in the cache, or in any case.

    Any number of processes may ask at once: one builds, the others wait for it.
    Raises ``ConfigError`` for an unknown recipe and ``ImageError`` with what to do
    when it can't be built.
    """
    recipe = read_recipe(name)
    if again or not recipe.archive.exists():
        missing = bootstrap.missing()
        if missing:
            raise ImageError(f"image {name!r} can't be built: {missing}; {_how(recipe)}")
        try:
            recipe.archive.parent.mkdir(parents=True, exist_ok=True)
            with (recipe.archive.parent / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if again or not recipe.archive.exists():
                    _build(recipe, progress)
        except OSError as error:
            raise ImageError(
                f"image {name!r} can't be built in {recipe.archive.parent}: {error};"
                f" set {DIRECTORY} to a directory that can be written"
            ) from error
    return read_archive(name, recipe.archive)


def read_archive(name: str, archive: Path) -> Image:
    """What a docker-archive holds.  Raises ``ImageError`` when it isn't one of one tagged image.

    Its configuration is checked against its digest here, its layers only by ``verify``.
    """
    manifest, _, digest = _read(archive)
    tags = manifest.get("RepoTags") or []
    if not tags:
        raise ImageError(f"{archive}: its image has no tag; save it by its name and tag")
    return Image(name, tags[0], digest, archive)


def configuration(image: Image) -> dict[str, Any]:
    """The image's configuration, as its archive has it."""
    return _read(_archive_of(image))[1]


def verify(image: Image) -> None:
    """Read the whole archive.  Raises ``ImageError`` when it isn't what its digest says."""
    archive = _archive_of(image)
    manifest, config, digest = _read(archive)
    if digest != image.digest:
        raise ImageError(
            f"{archive}: holds sha256:{digest.hex()}, not sha256:{image.digest.hex()};"
            f" {_again(archive)}"
        )
    try:
        with tarfile.open(archive, "r:") as outer:
            for layer, expected in zip(
                manifest["Layers"], config["rootfs"]["diff_ids"], strict=True
            ):
                found = _sha256(outer, layer)
                if f"sha256:{found}" != expected:
                    raise ImageError(
                        f"{archive}: layer {layer} is sha256:{found}, not {expected};"
                        f" {_again(archive)}"
                    )
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise ImageError(f"{archive}: damaged ({error}); {_again(archive)}") from error


def _read(archive: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The manifest, the configuration and its digest."""
    try:
        with tarfile.open(archive, "r:") as outer:
            (manifest,) = json.loads(_member(outer, "manifest.json"))
            raw = _member(outer, manifest["Config"])
            config = json.loads(raw)
            if len(config["rootfs"]["diff_ids"]) != len(manifest["Layers"]):
                raise ValueError("its layers are not those of its configuration")
    except (tarfile.TarError, OSError, KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"{archive}: not a docker-archive of one image ({error}); {_again(archive)}"
        ) from error
    digest = hashlib.sha256(raw)
    named = Path(manifest["Config"]).name.removesuffix(".json")
    if named != digest.hexdigest():
        raise ImageError(
            f"{archive}: its configuration is sha256:{digest.hexdigest()}, not {named};"
            f" {_again(archive)}"
        )
    return manifest, config, digest.digest()


def _member(outer: tarfile.TarFile, name: str) -> bytes:
    content = outer.extractfile(name)
    if content is None:
        raise KeyError(f"{name} is not a file")
    return content.read()


def _sha256(outer: tarfile.TarFile, name: str) -> str:
    content = outer.extractfile(name)
    if content is None:
        raise KeyError(f"{name} is not a file")
    digest = hashlib.sha256()
    while block := content.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _archive_of(image: Image) -> Path:
    if image.archive is None:
        raise ImageError(f"image {image.reference}: its archive is not on this machine")
    return image.archive


def dockerfile(recipe: Recipe) -> str:
    """See ``bootstrap.dockerfile``."""
    return bootstrap.dockerfile(
        name=recipe.name,
        suite=recipe.suite,
        packages=recipe.packages,
        hooks=recipe.hooks,
        environment=recipe.env,
        entry=recipe.entry,
    )


def _build(recipe: Recipe, progress: Callable[[str], None]) -> None:
    bootstrap.build(
        name=recipe.name,
        suite=recipe.suite,
        packages=recipe.packages,
        hooks=recipe.hooks,
        config={
            "Env": [f"{key}={value}" for key, value in sorted(recipe.env.items())],
            "Cmd": list(recipe.entry),
            "WorkingDir": "/",
            "Labels": {RECIPE_LABEL: recipe.digest},
        },
        architecture=architecture(),
        archive=recipe.archive,
        progress=progress,
    )


def _how(recipe: Recipe) -> str:
    return (
        f"install it (apt-get install {' '.join(bootstrap.DEBIAN_PACKAGES)}), or, with a"
        f" registry, docker build -t hpc-runner-{recipe.name}:site"
        f" {containers_dir() / recipe.name} and docker save hpc-runner-{recipe.name}:site"
        f" -o {recipe.archive}, or copy that file from a machine that has it"
    )


def _again(archive: Path) -> str:
    return f"remove it to have it built again: rm {archive}"
