"""The ``local`` runtime: the agent on the host, with no container engine.

The file system that candidates see, the limits and every other part of the
isolation are the agent's own work here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hpc_runner.errors import ConfigError, RuntimeFailure
from hpc_runner.sandbox.agent import remove_tree
from hpc_runner.sandbox.spec import AGENT, AgentSpec, Availability, Image

PROBE_S = 20.0
KILL_S = 10.0
OLDEST = (3, 8)
_PROBE = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


_CONTENT = """
import sys
from importlib.metadata import distributions
print(sys.version, sys.platform)
for line in sorted("%s %s" % (found.metadata["Name"], found.version) for found in distributions()):
    print(line)
"""


class LocalRuntime:
    """Runs the agent with an interpreter of the host.

    ``python``: the interpreter when a spec names none.  If not given, it is the one
    that our own virtual environment was made from, so that candidates see the
    standard library and not what hpc_runner has installed for itself.
    """

    name = "local"
    needs_image = False

    def __init__(self, python: str | None = None, agent: Path = AGENT) -> None:
        self._python = python or base_interpreter()
        self._agent = agent

    def available(self) -> Availability:
        if not sys.platform.startswith("linux"):
            return Availability(False, f"{sys.platform} is not Linux", "use --runtime docker")
        try:
            version = check_interpreter(self._python)
        except ConfigError as error:
            return Availability(False, str(error), "name another one with --python")
        return Availability(True, f"Python {version} at {self._python} runs the agent on the host")

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        return None

    def has_image(self, image: Image) -> bool:
        return False

    def load(self, image: Image, progress: Callable[[str], None]) -> None:
        """No image is needed."""

    def command(self, spec: AgentSpec) -> list[str]:
        python = spec.python or self._python
        return [python, "-I", "-B", str(self._agent), *spec.agent_arguments(), "--name", spec.name]

    def environment(self) -> dict[str, str]:
        found = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
        if "TMPDIR" in os.environ:  # where workspaces lie
            found["TMPDIR"] = os.environ["TMPDIR"]
        return found

    def kill(self, name: str) -> None:
        """The agent's children end with it, but its directory stays when it was killed."""
        box = Path(self.environment().get("TMPDIR", "/tmp"), f"hpc_runner-{name}")  # noqa: S108
        deadline = time.monotonic() + KILL_S
        while True:
            try:
                remove_tree(str(box))
            except FileNotFoundError:
                return
            except OSError as error:  # something that is being killed still writes there
                if time.monotonic() > deadline:
                    raise RuntimeFailure(f"{box} can't be removed: {error.strerror}") from error
                time.sleep(0.01)


def base_interpreter() -> str:
    """The interpreter that our virtual environment was made from, or our own outside of one."""
    return getattr(sys, "_base_executable", "") or sys.executable


def fingerprint(python: str) -> str:
    """Hex SHA-256 of what a candidate can import from an interpreter: its build, and the names
    and versions of all that is installed for it.  Raises ``ConfigError`` as
    ``check_interpreter`` does."""
    done = _ask(python, ["-I", "-B", "-c", _CONTENT])
    if done.returncode != 0:
        raise ConfigError(f"Python {python!r} doesn't tell what it has: {done.stderr[-200:]}")
    return hashlib.sha256(done.stdout.encode()).hexdigest()


def check_interpreter(python: str) -> str:
    """Version of an interpreter that can run the agent, for example "3.11.7".

    It is started in the environment that the agent gets.  Raises ``ConfigError``
    when it can't be started or is too old.
    """
    done = _ask(python, ["-I", "-S", "-c", _PROBE])
    version = done.stdout.strip()
    try:
        numbers = tuple(int(part) for part in version.split("."))
    except ValueError:
        numbers = ()
    if done.returncode != 0 or len(numbers) != 3:
        said = (done.stderr.strip() or version).splitlines()[-1:] or ["nothing"]
        raise ConfigError(
            f"Python {python!r} doesn't run with an empty environment"
            f" (exit code {done.returncode}, it said: {said[0][:200]})"
        )
    if numbers[:2] < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise ConfigError(f"Python {python!r} is {version}; the agent needs {wanted} or newer")
    return version


def _ask(python: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run an interpreter in the environment that the agent gets."""
    try:
        return subprocess.run(
            [python, *arguments],
            env=LocalRuntime(python).environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_S,
        )
    except OSError as error:
        raise ConfigError(f"Python {python!r} can't be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"Python {python!r} didn't answer in {PROBE_S:.0f} s") from error
