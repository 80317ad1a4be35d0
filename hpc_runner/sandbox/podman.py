"""The ``podman`` runtime: as ``docker``, without a daemon, also for an ordinary user.

docs/runtimes.md says what each option of the command is there for.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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

FOR_PODMAN = (
    "PATH", "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS",
    "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS",
)  # fmt: skip
"""The variables that podman needs to find its storage.  None of them enters a container."""

NOBODY_NUMBER = 65534


@dataclass(frozen=True)
class Site:
    """What ``podman info`` says of this machine and user, as far as the command depends on it."""

    rootless: bool
    limits: bool
    """The container can have a limit of its own on memory and on processes."""
    nobody: bool
    """The user ``nobody`` exists in a container: root has it, and who has subordinate ids."""
    open_files: int
    processes: int
    """The hard limits that podman itself has, which not even root may raise everywhere."""


class PodmanRuntime:
    """Runs the agent in a container without network, capabilities or a writable root.

    ``site``: asked of ``podman info`` at first use if not given.
    """

    name = "podman"
    needs_image = True

    def __init__(
        self,
        program: str = "podman",
        agent: Path = AGENT,
        seccomp: Path | None = None,
        site: Site | None = None,
    ) -> None:
        self._program = program
        self._agent = agent
        self._seccomp = seccomp or images.containers_dir() / "seccomp.json"
        self._given_site = site

    def available(self) -> Availability:
        try:
            info = self._info
        except RuntimeFailure as error:
            mend = "see that `podman info` works for this user, or use --runtime local"
            return Availability(False, str(error), mend)
        if info["host"].get("serviceIsRemote"):
            reason = "it is a client of a service elsewhere, which can't see the agent's file"
            return Availability(False, reason, "use a podman that runs its containers itself")
        site = self._site
        files = (self._agent, self._seccomp)
        if site.nobody and (found := engine.unreadable(files)) is not None:
            return found
        what = [f"Podman {info['version']['Version']} answers"]
        what += ["as an ordinary user"] if site.rootless else []
        what += [] if site.limits else ["memory and processes are limited by the agent alone"]
        what += [] if site.nobody else ["containers run as this user, who has no subordinate ids"]
        return Availability(True, ", ".join(what))

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        image = images.ensure(name, progress)
        self.load(image, progress)
        return image

    def load(self, image: Image, progress: Callable[[str], None]) -> None:
        engine.load(
            image,
            has=self.has_image,
            run_load=lambda archive: self._call(
                ["load", "--quiet", "--input", str(archive)], LOAD_S
            ),
            program=self._program,
            progress=progress,
        )

    def has_image(self, image: Image) -> bool:
        """Podman names an image by the digest of its configuration, as we do."""
        done = self._call(["image", "exists", image.digest.hex()], PROBE_S)
        if done.returncode not in (0, 1):
            raise RuntimeFailure(f"images can't be listed: {said(done)}")
        return done.returncode == 0

    def command(self, spec: AgentSpec) -> list[str]:
        image, site = engine.needed_image(self.name, spec), self._site
        return [
            self._program, *_in_control_group(site),
            "run", "--rm", "--interactive", "--name", spec.name,
            "--label", f"{LABEL}={spec.name}", "--pull", "never", "--log-driver", "none",
            "--sig-proxy=false", "--hostname", "sandbox",
            "--network", "none", "--no-hosts", "--ipc", "private", "--userns", "host",
            "--env-host=false", "--http-proxy=false",
            "--read-only", "--read-only-tmpfs=false", *_user(site),
            "--security-opt", "no-new-privileges",
            "--security-opt", f"seccomp={self._seccomp}",
            "--security-opt", "apparmor=unconfined", "--security-opt", "label=disable",
            *_limits(site, spec),
            "--tmpfs", engine.tmp_option(spec), *_volumes(self._agent, spec),
            "--workdir", "/", "--entrypoint", PYTHON_IN_CONTAINER, image.digest.hex(),
            "-I", "-B", AGENT_IN_CONTAINER, *spec.agent_arguments(),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        found = {name: os.environ[name] for name in FOR_PODMAN if name in os.environ}
        # In batch jobs it may name a directory that only the login node has.
        runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
        if os.access(runtime_dir, os.W_OK):
            found["XDG_RUNTIME_DIR"] = runtime_dir
        return found

    def kill(self, name: str) -> None:
        deadline = time.monotonic() + KILL_S
        remove = ["rm", "--force", "--ignore", "--time", "0", "--volumes", name]
        while (done := self._call(remove, PROBE_S)).returncode != 0:
            # "--rm" may be removing it at this moment: ask again until it has.
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"container {name!r} can't be removed: {said(done)}")

    @cached_property
    def _info(self) -> dict[str, Any]:
        done = self._call(["info", "--format", "json"], PROBE_S)
        try:
            info: dict[str, Any] = json.loads(done.stdout)
            info["host"]["security"]["rootless"], info["version"]["Version"]
        except (ValueError, TypeError, KeyError):
            raise RuntimeFailure(f"podman info doesn't answer: {said(done)}") from None
        return info

    @cached_property
    def _site(self) -> Site:
        return self._given_site or site_of(self._info["host"], in_job="SLURM_JOB_ID" in os.environ)

    def _call(self, arguments: list[str], deadline_s: float) -> subprocess.CompletedProcess[str]:
        return call([self._program, *arguments], self.environment(), deadline_s)


def site_of(host: dict[str, Any], *, in_job: bool) -> Site:
    """From what ``podman info`` says of the host.

    ``in_job``: a batch system's limits hold for us, and so they must for our containers.
    """
    rootless = bool(host["security"]["rootless"])
    limited = {"memory", "pids"} <= set(host.get("cgroupControllers") or ())
    # Without systemd, an ordinary user's container stays in the control group of its starter.
    delegated = host.get("cgroupVersion") == "v2" and host.get("cgroupManager") == "systemd"
    ids = (host.get("idMappings") or {}).get("uidmap") or ()
    return Site(
        rootless=rootless,
        limits=limited and (not rootless or (delegated and not in_job)),
        nobody=not rootless or any(_holds_nobody(part) for part in ids),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        processes=_hard_limit_on_processes(),
    )


def _hard_limit_on_processes() -> int:
    """Podman lowers its own to the number of pids that there are."""
    ours = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    there_are = int(Path("/proc/sys/kernel/pid_max").read_text())
    return there_are if ours == resource.RLIM_INFINITY else min(ours, there_are)


def _holds_nobody(part: dict[str, int]) -> bool:
    return part["container_id"] <= NOBODY_NUMBER < part["container_id"] + part["size"]


def _in_control_group(site: Site) -> list[str]:
    """Options that keep an ordinary user's container where it is started, so that the limits
    of a batch job hold for it as well."""
    return ["--cgroup-manager", "cgroupfs"] if site.rootless and not site.limits else []


def _user(site: Site) -> list[str]:
    """Without subordinate ids the only user there is root, who is ourselves and has no
    capability either; but the kernel maps that user into an inner namespace only with SETFCAP."""
    if site.nobody:
        return ["--user", NOBODY, "--cap-drop", "ALL"]
    return ["--user", "0:0", "--cap-drop", "ALL", "--cap-add", "SETFCAP"]


def _volumes(agent: Path, spec: AgentSpec) -> list[str]:
    """Not ``--mount``, in which no Podman before 5 can be told of a path with a comma."""
    found: list[str] = []
    for source, target in engine.binds(agent, spec):
        if ":" in str(source):
            raise RuntimeFailure(f"podman can't mount {source}: it has a colon in its name")
        found += ["--volume", f"{source}:{target}:ro"]
    return found


def _limits(site: Site, spec: AgentSpec) -> list[str]:
    ours = []
    if site.limits:
        memory = str(spec.memory_bytes)
        ours = ["--memory", memory, "--memory-swap", memory, "--pids-limit", str(spec.processes)]
    for name, most in (("nofile", site.open_files), ("nproc", site.processes)):
        ours += ["--ulimit", f"{name}={most}:{most}"]
    return [*ours, "--ulimit", "core=0:0"]
