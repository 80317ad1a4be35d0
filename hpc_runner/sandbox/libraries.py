"""What programs in a language may count on beside its own library: crates, packages, modules.

``harness/libraries-LANGUAGE.sh`` compiles them: in an image when that is built, and for the
``local`` runtime once, into the user's cache.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from hpc_runner.errors import ConfigError
from hpc_runner.sandbox.sources import HARNESS
from hpc_runner.sandbox.toolchains import TOOLCHAINS

__all__ = ["directory", "has_libraries", "hook", "missing_tools", "prepare", "stamp", "views"]

IN_IMAGE = "/usr/lib/hpc_runner"
SYSTEM_PATH = "/usr/bin:/bin"
COMPILE_S = 900.0


def _script(language: str) -> Path:
    return HARNESS / f"libraries-{language}.sh"


def has_libraries(language: str) -> bool:
    """Whether there are any to be compiled."""
    return language in TOOLCHAINS and _script(language).exists()


def missing_tools(language: str) -> list[str]:
    """Programs that a language needs on this machine and that aren't where they are looked for."""
    row = TOOLCHAINS[language]
    return [tool for tool in row.tools if shutil.which(tool, path=SYSTEM_PATH) is None]


@functools.cache
def stamp(language: str) -> str:
    """Hex digest of this machine's tools and libraries for a language: other ones, another stamp.

    By path, size and time of the programs, which no update leaves as they were.
    """
    digest = hashlib.sha256(language.encode())
    for tool in TOOLCHAINS[language].tools:
        path = Path(shutil.which(tool, path=SYSTEM_PATH) or tool).resolve()
        with contextlib.suppress(OSError):
            found = path.stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    if _script(language).exists():
        digest.update(_script(language).read_bytes())
    return digest.hexdigest()


def directory(language: str, *, image: bool) -> str:
    """Where a language's libraries are, in the eyes of a program."""
    if image:
        return f"{IN_IMAGE}/{language}"
    return str(_cache() / f"{language}-{stamp(language)[:16]}")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return cache / "hpc_runner" / "libraries"


def views(languages: Iterable[str], *, image: bool) -> tuple[str, ...]:
    """Paths that programs in these languages read beyond what every program sees."""
    found: set[str] = set()
    for language in languages:
        if language not in TOOLCHAINS:
            continue
        found.update(TOOLCHAINS[language].views)
        if not image and Path(own := directory(language, image=False)).is_dir():
            found.add(own)
    return tuple(sorted(found))


def prepare(languages: Iterable[str], progress: Callable[[str], None]) -> list[str]:
    """Compile for this machine what these languages lack, once; returns what can't be had.

    Raises ``ConfigError`` when a language's own tools are missing, or its libraries can't
    be compiled.
    """
    told: list[str] = []
    for language in sorted(languages):
        missing = missing_tools(language)
        if missing:
            raise ConfigError(
                f"programs in {language} need {', '.join(missing)} in {SYSTEM_PATH}:"
                f" apt-get install {' '.join(TOOLCHAINS[language].packages)}, or run them in an"
                " image (--runtime docker)"
            )
        target = Path(directory(language, image=False))
        if _script(language).exists() and not target.exists():
            progress(f"compiling the libraries of {language}, once")
            _compile(language, target)
        if (target / "missing").exists():
            told += (target / "missing").read_text(encoding="utf-8").splitlines()
    return told


def _compile(language: str, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        done = subprocess.run(
            ["sh", str(_script(language)), str(partial), str(target)],
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMPILE_S,
        )
        if done.returncode != 0:
            raise ConfigError(
                f"the libraries of {language} can't be compiled: {done.stderr.strip()[-500:]}"
            )
        absent = [line for line in done.stdout.splitlines() if line.startswith("missing: ")]
        if absent:
            text = "".join(f"{language}: {line}\n" for line in absent)
            (partial / "missing").write_text(text, encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # by another process, just now
            partial.rename(target)
    except OSError as error:
        raise ConfigError(f"{target}: can't be written: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"the libraries of {language} took longer than {COMPILE_S:.0f} s to compile"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def hook(language: str) -> str | None:
    """What an image's builder runs for a language, with the root file system as ``$1``; None
    where there is nothing to compile.  The script is packed: a Dockerfile has no room for lines."""
    if not _script(language).exists():
        return None
    packed = base64.b64encode(_script(language).read_bytes()).decode("ascii")
    place = f"{IN_IMAGE}/{language}"
    return (
        f'mkdir -p "$1{place}" && echo {packed} | base64 -d'
        f' | chroot "$1" /usr/bin/env -i PATH={SYSTEM_PATH} sh -s {place} {place}'
    )
