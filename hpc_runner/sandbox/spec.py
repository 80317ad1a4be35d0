"""The seam between whoever needs an agent and whatever can start one.

A runtime is a class with this Protocol's members, a row in
``runtimes.RUNTIMES`` and a golden file; docs/runtimes.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

AGENT = Path(__file__).with_name("agent.py")
"""The agent's file on the host."""

AGENT_IN_CONTAINER = "/opt/hpc_runner/agent.py"
PYTHON_IN_CONTAINER = "/usr/bin/python3"
MOUNTS_IN_CONTAINER = "/opt/hpc_runner/mounts"


@dataclass(frozen=True)
class Availability:
    """Whether a runtime works here: tried, not guessed."""

    ok: bool
    reason: str
    """What was found, as a clause: "Docker 28.2.2 answers"."""
    mend: str = ""
    """What to do where it doesn't work."""


@dataclass(frozen=True)
class Image:
    """A root file system that agents can be started in."""

    name: str
    """The recipe in containers/."""
    reference: str
    """Repository and tag.  The tag holds the start of the digest, so that another
    content has another reference."""
    digest: bytes
    """32 bytes: SHA-256 of the image's configuration, which names the SHA-256 of
    the root file system, the environment and the recipe."""
    archive: Path | None = None
    """The docker-archive it was loaded from, where it is still on this machine."""


@dataclass(frozen=True)
class AgentSpec:
    """Everything that is needed to start one agent."""

    name: str
    """Unique on this machine; letters, digits, ``_``, ``.`` and ``-``, the first one a letter."""
    slots: int
    require_isolation: str
    """The agent refuses to start below this level: limits, filtered or full."""
    memory_bytes: int
    """For all that the agent starts and itself, where the runtime can limit it."""
    processes: int
    """Processes and threads alive at once, all slots together."""
    python: str | None = None
    """Interpreter of the ``local`` runtime; the base of our own if None."""
    image: Image | None = None
    """What ``ensure_image`` returned."""
    mounts: tuple[Path, ...] = ()
    """Directories of the host, with different names, that candidates may read."""

    views: tuple[str, ...] = ()
    """Paths of the image, or of the host where there is none, that candidates may read, as
    far as they are there."""

    def agent_arguments(self) -> list[str]:
        """What the agent itself is told."""
        paths = (*(seen_at(path, self.image) for path in self.mounts), *self.views)
        views = [part for path in paths for part in ("--view", path)]
        return ["--slots", str(self.slots), "--require", self.require_isolation, *views]


def seen_at(mount: Path, image: Image | None) -> str:
    """Where candidates see a directory of ``AgentSpec.mounts``."""
    return str(mount) if image is None else f"{MOUNTS_IN_CONTAINER}/{mount.name}"


class Runtime(Protocol):
    """Starts agents.  Every call but ``command`` may run programs, each with a deadline."""

    name: str
    needs_image: bool

    def available(self) -> Availability:
        """Try whether it works on this machine; raises nothing."""

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        """Build and load the image where it is missing; None where none is needed.

        ``progress`` gets a sentence for each slow step.  Raises what ``load`` raises, and
        ``ConfigError`` when there is no such recipe.
        """

    def load(self, image: Image, progress: Callable[[str], None]) -> None:
        """See that this machine has just this image: each worker asks, on its own node.

        It is loaded from its archive where it is missing, never built; what the runtime
        has under its name is verified to be the digest.  Raises ``ImageError``.
        """

    def has_image(self, image: Image) -> bool:
        """Whether it has this image under its reference, with this very digest.

        False for a runtime that needs none.  Raises ``RuntimeFailure`` when it can't be asked.
        """

    def command(self, spec: AgentSpec) -> list[str]:
        """The command that starts the agent and is its stdin and stdout.  Pure, but for what
        a runtime finds out once of this machine where its command depends on that.

        Raises ``ImageError`` when ``spec.image`` is missing and needed.
        """

    def environment(self) -> dict[str, str]:
        """The whole environment to start that command with."""

    def kill(self, name: str) -> None:
        """End what outlives the process of ``command``, and see that it is gone.

        The caller has closed that process's stdin, or killed it, before.  What is
        already gone is no error.  Raises ``RuntimeFailure`` when it can't be ended.
        """
