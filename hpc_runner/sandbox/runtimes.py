"""Every runtime that there is, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpc_runner.config import DEFAULT_IMAGE
from hpc_runner.errors import ConfigError
from hpc_runner.sandbox import images
from hpc_runner.sandbox.apptainer import ApptainerRuntime
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.podman import PodmanRuntime
from hpc_runner.sandbox.sarus import SarusRuntime
from hpc_runner.sandbox.spec import AgentSpec, Availability, Image, Runtime

__all__ = ["AUTO", "RUNTIMES", "AgentSpec", "Availability", "Image", "Runtime", "choose"]

RUNTIMES: dict[str, Callable[[], Runtime]] = {
    "local": LocalRuntime,
    "docker": DockerRuntime,
    "podman": PodmanRuntime,
    "sarus": SarusRuntime,
    "apptainer": ApptainerRuntime,
}

AUTO = ("sarus", "docker", "podman", "local")
"""What ``auto`` tries, best first: where Sarus is installed it is what a site means its
users to run; a container adds a root file system that is pinned by its digest, and Docker
a hard limit on memory, to what the agent does everywhere."""


def choose(name: str, environments: Sequence[str] = ()) -> tuple[Runtime, str]:
    """The runtime, and why it is this one, as a sentence.

    ``auto`` takes the first of ``AUTO`` that works on this machine and whose
    images are there or can be built.  Raises ``ConfigError`` with what was found
    and what to do when the name is unknown, when the named one doesn't work, or
    when none does.
    """
    if name != "auto":
        if name not in RUNTIMES:
            known = ", ".join(["auto", *RUNTIMES])
            raise ConfigError(f"runtime {name!r} is not known; there are {known}")
        runtime = RUNTIMES[name]()
        found = runtime.available()
        if not found.ok:
            raise ConfigError(f"runtime {name!r} doesn't work here: {found.reason}; {found.mend}")
        return runtime, f"{name} was asked for; {found.reason}"
    passed_over: list[str] = []
    for candidate in AUTO:
        runtime = RUNTIMES[candidate]()
        found = usable(runtime, environments)
        if found.ok:
            return runtime, "; ".join([f"{candidate}: {found.reason}", *passed_over])
        passed_over.append(f"not {candidate}: {found.reason} ({found.mend})")
    raise ConfigError("no runtime works here: " + "; ".join(passed_over))


def usable(runtime: Runtime, environments: Sequence[str] = ()) -> Availability:
    """Like ``runtime.available()``, and each of its images is there or can be built."""
    found = runtime.available()
    if not found.ok or not runtime.needs_image:
        return found
    for image in environments or (DEFAULT_IMAGE,):
        obtainable = images.obtainable(image)
        reason = f"{found.reason}, {obtainable.reason}"
        found = Availability(obtainable.ok, reason, obtainable.mend)
        if not found.ok:
            break
    return found
