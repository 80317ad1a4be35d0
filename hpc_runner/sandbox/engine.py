"""What the runtimes that drive a container engine by its command line have in common."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from hpc_runner.errors import ImageError
from hpc_runner.sandbox import images
from hpc_runner.sandbox.calls import said
from hpc_runner.sandbox.spec import AGENT_IN_CONTAINER, AgentSpec, Availability, Image, seen_at

PROBE_S = 20.0
LOAD_S = 600.0
KILL_S = 60.0

LABEL = "org.hpc-runner.agent"
TMP = "/tmp"  # noqa: S108 (the container's own)
NOBODY = "65534:65534"
"""``nobody`` in Debian's images: it has a name there, and owns nothing."""


def binds(agent: Path, spec: AgentSpec) -> list[tuple[Path, str]]:
    """What is seen where in the container, read-only: the agent, and what candidates may read."""
    return [
        (agent, AGENT_IN_CONTAINER),
        *((mount, seen_at(mount, spec.image)) for mount in spec.mounts),
    ]


def tmp_option(spec: AgentSpec) -> str:
    """``--tmpfs``: half of the memory, so that a full disk is an error before it is a death."""
    return f"{TMP}:rw,exec,nosuid,nodev,mode=1777,size={spec.memory_bytes // 2}"


def unreadable(files: Iterable[Path]) -> Availability | None:
    """Why a container that runs as ``nobody`` can't read one of these files, if it can't."""
    for file in files:
        if not stat.S_IMODE(file.stat().st_mode) & stat.S_IROTH:
            reason = f"{file} can't be read by the container's user"
            return Availability(False, reason, f"chmod o+r {file}")
    return None


def needed_image(runtime: str, spec: AgentSpec) -> Image:
    """The image of a spec.  Raises ``ImageError`` when it has none."""
    if spec.image is None:
        raise ImageError(f"runtime {runtime!r} needs an image to start {spec.name!r}")
    return spec.image


def located(image: Image) -> Image:
    """The image with its archive.  Raises ``ImageError`` when it can't be seen from here."""
    if image.archive is not None:
        return image
    known = images.find(image.name)
    if known is None or known.digest != image.digest:
        raise ImageError(
            f"image {image.reference} is not loaded on this machine, and its archive is not in"
            f" {images.cache_dir()}: copy it there from where the run was planned"
        )
    return replace(image, archive=known.archive)


def load(
    image: Image,
    *,
    has: Callable[[Image], bool],
    run_load: Callable[[Path], subprocess.CompletedProcess[str]],
    program: str,
    progress: Callable[[str], None],
) -> None:
    """Load an image into an engine unless the engine ``has`` just this one.

    Raises ``ImageError`` when that can't be done.
    """
    if has(image) or has(image := located(image)):
        return
    progress(f"loading image {image.reference} into {program}")
    images.verify(image)
    assert image.archive is not None
    archive = image.archive
    done = run_load(archive)
    if done.returncode != 0:
        raise ImageError(f"{archive} can't be loaded: {said(done)}")
    if not has(image):
        raise ImageError(
            f"{program} has another image as {image.reference} than"
            f" sha256:{image.digest.hex()}; remove it with:"
            f" {program} image rm {image.reference}"
        )
