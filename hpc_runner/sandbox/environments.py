"""Environments: what candidates are cross-validated in, found by the names that a user gives.

In a runtime that needs images an environment is a recipe in containers/.  In the ``local``
runtime it is an interpreter of this machine: what has a slash is its path, and ``py311`` is
the first ``python3.11`` on PATH that runs, where pyenv's directory of shims stands for the
versions that are installed in it.  An interpreter's environment is named by its version
(``py311``), whatever it was found by.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hpc_runner.config import DEFAULT_IMAGE, RunConfig
from hpc_runner.errors import ConfigError
from hpc_runner.runinfo import EnvironmentInfo
from hpc_runner.sandbox import images
from hpc_runner.sandbox.local import OLDEST, base_interpreter, check_interpreter
from hpc_runner.sandbox.spec import Image, Runtime

__all__ = ["has_interpreter", "named", "pinned_image"]

_NAME = re.compile(r"py(\d)(\d{1,2})")
_PROGRAM = re.compile(r"python(\d)\.(\d{1,2})")
_RELEASE = re.compile(r"\d+\.\d+\.\d+")


def has_interpreter(config: RunConfig) -> bool:
    """An interpreter of this machine is named by its path."""
    return config.python is not None or any(map(_is_path, config.environments))


def named(config: RunConfig, runtime: Runtime) -> tuple[EnvironmentInfo, ...]:
    """The environments of a run, in the order in which they were asked for, without images.

    Raises ``ConfigError`` for one that isn't there or can't be used, with those that can,
    and for two of the same name.
    """
    words = config.environments
    if runtime.needs_image:
        if config.python is not None:
            raise ConfigError(f"--python is for the local runtime; {runtime.name} has its image's")
        found = [EnvironmentInfo(name=_recipe(word)) for word in words or (DEFAULT_IMAGE,)]
    elif words and config.python is not None:
        raise ConfigError("--python and --environments both say which interpreter; give one")
    elif words:
        found = [_interpreter(word) for word in words]
    else:
        given = config.python or base_interpreter()
        path = shutil.which(given) or given
        found = [_at(path, check_interpreter(path))]
    first: dict[str, str] = {}
    for word, environment in zip(words, found, strict=False):
        if environment.name in first:
            raise ConfigError(
                f"--environments: {first[environment.name]} and {word} are both"
                f" {environment.name}; name each environment once"
            )
        first[environment.name] = word
    return tuple(found)


def pinned_image(environment: EnvironmentInfo) -> Image | None:
    """What the candidates are run in there."""
    image = environment.image
    if image is None:
        return None
    return Image(image.name, image.reference, bytes.fromhex(image.digest))


def _recipe(name: str) -> str:
    try:
        return images.read_recipe(name).name
    except ConfigError as error:
        raise ConfigError(f"--environments: {error}") from error


def _interpreter(word: str) -> EnvironmentInfo:
    name = _NAME.fullmatch(word)
    if name is not None:
        version = int(name[1]), int(name[2])
        if version < OLDEST:
            oldest = f"py{OLDEST[0]}{OLDEST[1]}"
            raise ConfigError(f"--environments: {word} is too old; {oldest} is the oldest")
        if (found := _find(*version)) is not None:
            return found
        program = f"python{version[0]}.{version[1]}"
        raise ConfigError(f"--environments: no {program} on PATH that runs; {_alternatives()}")
    if not _is_path(word):
        raise ConfigError(
            f"--environments: {word!r} is neither the name of a Python, such as py311, nor a"
            f" path; {_alternatives()}"
        )
    return _at(word, check_interpreter(word))


def _at(path: str, version: str) -> EnvironmentInfo:
    name = "py" + "".join(version.split(".")[:2])
    return EnvironmentInfo(name=name, interpreter=str(Path(path).absolute()), python=version)


def _find(major: int, minor: int) -> EnvironmentInfo | None:
    for directory in _directories():
        path = directory / f"python{major}.{minor}"
        if not os.access(path, os.X_OK):
            continue
        try:
            version = check_interpreter(str(path))
        except ConfigError:
            continue  # a version manager's stub for what it has not installed, for example
        if version.startswith(f"{major}.{minor}."):
            return _at(str(path), version)
    return None


def _directories() -> Iterator[Path]:
    """Where interpreters may be, in the order of PATH."""
    for word in os.environ.get("PATH", os.defpath).split(os.pathsep):
        directory = Path(word)
        versions = directory.parent / "versions"
        if directory.name == "shims" and versions.is_dir():
            releases = [path for path in versions.iterdir() if _RELEASE.fullmatch(path.name)]
            releases.sort(key=lambda path: [int(part) for part in path.name.split(".")])
            yield from (path / "bin" for path in reversed(releases))
        elif directory.is_absolute():
            yield directory


def _alternatives() -> str:
    """What there is instead, found by trying."""
    programs = {
        (int(match[1]), int(match[2]))
        for directory in _directories()
        for path in directory.glob("python?.*")
        if (match := _PROGRAM.fullmatch(path.name))
    }
    found = [_find(*version) for version in sorted(programs) if version >= OLDEST]
    names = ", ".join(environment.name for environment in found if environment is not None)
    return f"there are {names}" if names else "there is none: give the path of one"


def _is_path(word: str) -> bool:
    return "/" in word
