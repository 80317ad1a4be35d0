"""The ``docker`` runtime: one hardened container for each agent.

docs/runtimes.md says what each option of the command is there for.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpc_runner.errors import RuntimeFailure
from hpc_runner.sandbox import engine, images
from hpc_runner.sandbox.calls import call, said
from hpc_runner.sandbox.engine import KILL_S, LABEL, LOAD_S, NOBODY, PROBE_S
from hpc_runner.sandbox.spec import (
    AGENT,
    AGENT_IN_CONTAINER,
    PYTHON_IN_CONTAINER,
    AgentSpec,
    Availability,
    Image,
)

NOWHERE = "192.0.2.1"
"""An address that is nobody's, so that the host's resolv.conf doesn't enter the container."""

FOR_THE_CLIENT = (
    "PATH", "HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "DOCKER_HOST", "DOCKER_CONTEXT",
    "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_API_VERSION",
)  # fmt: skip
"""The variables that the client needs to find its engine.  None of them enters a container."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


class DockerRuntime:
    """Runs the agent in a container without network, capabilities or a writable root."""

    name = "docker"
    needs_image = True

    def __init__(
        self, program: str = "docker", agent: Path = AGENT, seccomp: Path | None = None
    ) -> None:
        self._program = program
        self._agent = agent
        self._seccomp = seccomp or images.containers_dir() / "seccomp.json"

    def available(self) -> Availability:
        try:
            done = self._call(["version", "--format", "{{json .Server}}"], PROBE_S)
        except RuntimeFailure as error:
            return Availability(False, str(error), "install it, or use --runtime local")
        if done.returncode != 0:
            return Availability(False, said(done), _mend(done.stderr))
        try:
            server = json.loads(done.stdout) or {}
        except ValueError:
            server = {}
        if server.get("Os") != "linux":
            reason = f"the engine runs {server.get('Os') or 'nothing known'}, not Linux"
            return Availability(False, reason, "use an engine for Linux containers")
        if (found := engine.unreadable((self._agent, self._seccomp))) is not None:
            return found
        return Availability(True, f"Docker {server.get('Version', '')} answers")

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        image = images.ensure(name, progress)
        self.load(image, progress)
        return image

    def load(self, image: Image, progress: Callable[[str], None]) -> None:
        engine.load(
            image,
            has=self.has_image,
            run_load=lambda archive: self._call(["load", "--input", str(archive)], LOAD_S),
            program=self._program,
            progress=progress,
        )

    def has_image(self, image: Image) -> bool:
        done = self._call(["image", "inspect", "--format", "{{json .}}", image.reference], PROBE_S)
        if done.returncode != 0:
            if "no such image" in done.stderr.lower():
                return False
            raise RuntimeFailure(f"images can't be listed: {said(done)}")
        found: dict[str, Any] = json.loads(done.stdout)
        if found["Id"] == f"sha256:{image.digest.hex()}":
            return True
        if image.archive is None:
            return False
        # An engine on containerd's store names an image by its manifest, which it makes itself.
        config = images.configuration(image)
        return bool(
            found["RootFS"]["Layers"] == config["rootfs"]["diff_ids"]
            and found["Config"].get("Env") == config["config"].get("Env")
            and found["Config"].get("Labels") == config["config"].get("Labels")
        )

    def command(self, spec: AgentSpec) -> list[str]:
        image = engine.needed_image(self.name, spec)
        return [
            self._program, "run", "--rm", "--interactive", "--name", spec.name,
            "--label", f"{LABEL}={spec.name}", "--pull", "never", "--log-driver", "none",
            "--sig-proxy=false", "--hostname", "sandbox",
            "--network", "none", "--dns", NOWHERE, "--dns-search", ".", "--ipc", "private",
            "--read-only", "--user", NOBODY, "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges",
            "--security-opt", f"seccomp={self._seccomp}",
            "--security-opt", "apparmor=unconfined", "--security-opt", "label=disable",
            "--memory", str(spec.memory_bytes), "--memory-swap", str(spec.memory_bytes),
            "--pids-limit", str(spec.processes),
            "--ulimit", "core=0:0",
            "--tmpfs", engine.tmp_option(spec), *_mounts(self._agent, spec),
            *_without_proxies(),
            "--workdir", "/", "--entrypoint", PYTHON_IN_CONTAINER, image.reference,
            "-I", "-B", AGENT_IN_CONTAINER, *spec.agent_arguments(),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in FOR_THE_CLIENT if name in os.environ}

    def kill(self, name: str) -> None:
        deadline = time.monotonic() + KILL_S
        while True:
            done = self._call(["rm", "--force", "--volumes", name], PROBE_S)
            if "No such container" in done.stderr or (done.returncode == 0 and not done.stderr):
                return
            # "--rm" may be removing it at this moment: ask again until it has.
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"container {name!r} can't be removed: {said(done)}")

    def _call(self, arguments: list[str], deadline_s: float) -> subprocess.CompletedProcess[str]:
        return call([self._program, *arguments], self.environment(), deadline_s)


def _mounts(agent: Path, spec: AgentSpec) -> list[str]:
    """In the client's CSV, where a path may hold commas and quotes."""
    found: list[str] = []
    for source, target in engine.binds(agent, spec):
        field = f"source={source}".replace('"', '""')
        found += ["--mount", f'type=bind,"{field}",target={target},readonly']
    return found


def _without_proxies() -> list[str]:
    """The client puts the proxies of its own configuration, and the passwords in them, into
    every container, but for the variables that are named without a value."""
    names = [*_PROXIES, *(name.lower() for name in _PROXIES)]
    return [part for name in names for part in ("--env", name)]


def _mend(stderr: str) -> str:
    if "permission denied" in stderr.lower():
        return "join the group docker, or use --runtime local"
    return "start the engine, set DOCKER_HOST to where it is, or use --runtime local"
