"""The ``apptainer`` runtime: Apptainer, and SingularityCE, which takes the same options.

It follows their manuals and sources; no real one was at hand.  docs/runtimes.md says what
each option of the command is there for.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from hpc_runner.errors import ImageError, RuntimeFailure
from hpc_runner.sandbox import engine, images
from hpc_runner.sandbox.calls import call, said
from hpc_runner.sandbox.engine import KILL_S, LOAD_S, PROBE_S
from hpc_runner.sandbox.spec import (
    AGENT,
    AGENT_IN_CONTAINER,
    PYTHON_IN_CONTAINER,
    AgentSpec,
    Availability,
    Image,
)

PROGRAMS = ("apptainer", "singularity")
OLDEST = {"apptainer": (1, 2), "singularity-ce": (4, 0), "singularity-pro": (4, 0)}
"""Since when there are all the options that the command has."""

FOR_THE_PROGRAM = (
    "HOME", "TMPDIR", "APPTAINER_TMPDIR", "APPTAINER_CACHEDIR", "SINGULARITY_TMPDIR",
    "SINGULARITY_CACHEDIR",
)  # fmt: skip
"""Never the proxies: they would enter the container in spite of ``--cleanenv``."""

CHECKSUM = ".sha256"
"""After the name of an image file: the file that its checksum is in."""

_VERSION = re.compile(r"(apptainer|singularity-ce|singularity-pro) version (\d+)\.(\d+)(\S*)")


class ApptainerRuntime:
    """Runs the agent in a container of the user's own, made from one image file.

    ``program``: the first of ``PROGRAMS`` on PATH if not given.  ``cache``: where image
    files lie, every node being able to read it; the archives' directory if not given.
    """

    name = "apptainer"
    needs_image = True

    def __init__(
        self, program: str | None = None, agent: Path = AGENT, cache: Path | None = None
    ) -> None:
        there = [name for name in PROGRAMS if shutil.which(name)]
        self._program = program or (there or PROGRAMS)[0]
        self._agent = agent
        self._cache = cache or images.cache_dir()

    def available(self) -> Availability:
        try:
            done = self._call(["--version"], PROBE_S)
        except RuntimeFailure as error:
            return Availability(False, str(error), "load its module, or use --runtime local")
        found = _VERSION.match(done.stdout)
        if done.returncode != 0 or found is None:
            mend = "use Apptainer or SingularityCE, or --runtime local"
            return Availability(False, f"it says of itself: {said(done)}", mend)
        product, version = found[1], (int(found[2]), int(found[3]))
        known = f"{product} {found[2]}.{found[3]}{found[4]}"
        if version < OLDEST[product]:
            oldest = ".".join(map(str, OLDEST[product]))
            return Availability(False, f"{known} is too old", f"use {product} {oldest} or newer")
        return Availability(True, f"{known} answers, memory and processes are limited by the agent")

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        image = images.ensure(name, progress)
        self.load(image, progress)
        return image

    def load(self, image: Image, progress: Callable[[str], None]) -> None:
        """Make the image file from the archive where it is missing, or see that it is still
        what was made.  Any number of processes may ask at once: one makes it.

        Raises ``ImageError``.
        """
        file = self._file(image)
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            with file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self.has_image(image):
                    self._build(engine.located(image), file, progress)
            known = _checksum_of(file).read_text(encoding="ascii")
            if _sha256(file) != known:
                raise ImageError(f"{file} was changed; remove it to have it made again: rm {file}")
        except OSError as error:
            raise ImageError(f"{file} can't be used: {error}") from error

    def has_image(self, image: Image) -> bool:
        """By its name, which holds the start of its digest; ``load`` reads all of it."""
        return self._file(image).is_file()

    def command(self, spec: AgentSpec) -> list[str]:
        image = engine.needed_image(self.name, spec)
        return [
            self._program, "exec", "--containall", "--no-home", "--no-privs",
            "--net", "--network", "none", "--no-mount", "bind-paths",
            "--env", "LANG=C.UTF-8", "--pwd", "/", *_mounts(self._agent, spec),
            str(self._file(image)),
            PYTHON_IN_CONTAINER, "-I", "-B", "-X", _mark(spec.name),
            AGENT_IN_CONTAINER, *spec.agent_arguments(),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # mksquashfs may be there
        return {"PATH": path} | {
            name: os.environ[name] for name in FOR_THE_PROGRAM if name in os.environ
        }

    def kill(self, name: str) -> None:
        """The container's processes are the user's own, and end with its first one."""
        deadline = time.monotonic() + KILL_S
        while pids := _marked(_mark(name)):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"container {name!r} can't be ended in {KILL_S:.0f} s")
            time.sleep(0.01)  # the end of a process that is not our child can't be waited for

    def _file(self, image: Image) -> Path:
        return self._cache / image_file(image)

    def _build(self, image: Image, file: Path, progress: Callable[[str], None]) -> None:
        progress(f"making {file} from image {image.reference}")
        images.verify(image)
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        arguments = ["build", "--disable-cache", str(partial), f"docker-archive:{image.archive}"]
        done = self._call(arguments, LOAD_S)
        if done.returncode != 0 or not partial.is_file():
            partial.unlink(missing_ok=True)
            raise ImageError(f"{image.archive} can't be made into an image file: {said(done)}")
        _checksum_of(file).write_text(_sha256(partial), encoding="ascii")
        partial.rename(file)

    def _call(self, arguments: list[str], deadline_s: float) -> subprocess.CompletedProcess[str]:
        return call([self._program, *arguments], self.environment(), deadline_s)


def image_file(image: Image) -> str:
    """The name of the file that is made of an image."""
    return f"{image.name}-{image.digest.hex()[:16]}.sif"


def _mounts(agent: Path, spec: AgentSpec) -> list[str]:
    """In CSV, where a path may hold commas and quotes."""
    found: list[str] = []
    for source, target in engine.binds(agent, spec):
        fields = [
            '"' + field.replace('"', '""') + '"'
            for field in (f"source={source}", f"destination={target}")
        ]
        found += ["--mount", ",".join(["type=bind", *fields, "ro"])]
    return found


def _mark(name: str) -> str:
    """An option of Python without effect, by which the agent of a container can be found."""
    return f"hpc_runner={name}"


def _marked(mark: str) -> list[int]:
    """Processes of this user that have the mark among their arguments."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = process.stat().st_uid == os.geteuid()
            if mine and mark.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _checksum_of(file: Path) -> Path:
    return file.with_name(file.name + CHECKSUM)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
