"""How the agents of a run are started: its runtime, its image, the room that they need."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from hpc_runner.errors import RuntimeFailure
from hpc_runner.model import Candidate, Limits
from hpc_runner.runinfo import EnvironmentInfo, RunInfo
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.dependencies import Sets
from hpc_runner.sandbox.environments import pinned_image
from hpc_runner.sandbox.libraries import views
from hpc_runner.sandbox.native import needed
from hpc_runner.sandbox.preparation import mounts
from hpc_runner.sandbox.runtimes import RUNTIMES
from hpc_runner.sandbox.spec import AgentSpec

__all__ = ["StartAgent", "agent_starter", "die_with", "slot_bytes"]

HEADROOM_BYTES = 128 << 20
"""Of a container's memory, for each slot beyond what its candidate may use."""
HEADROOM_PROCESSES = 16

StartAgent = Callable[[EnvironmentInfo, int, Sequence[Candidate]], Agent]
"""Starts an agent in an environment of the run, with so many slots, for candidates such as
these."""


def slot_bytes(limits: Limits) -> int:
    """Memory that one execution may take, its files and what it is managed with included."""
    return limits.memory_bytes + limits.file_bytes + HEADROOM_BYTES


def agent_starter(info: RunInfo, sets: Mapping[str, Sets]) -> StartAgent:
    """How agents are started in this run, ``sets`` being the dependencies of the wave by
    environment.  Raises nothing; what it returns raises as ``Agent`` does."""
    runtime = RUNTIMES[info.runtime]()
    loaded: set[bytes] = set()

    def start(environment: EnvironmentInfo, slots: int, candidates: Sequence[Candidate]) -> Agent:
        limits = [needed(candidate) for candidate in candidates]
        memory = max(slot_bytes(limit) for limit in limits)
        processes = max(limit.processes for limit in limits) + HEADROOM_PROCESSES
        languages = {candidate.language for candidate in candidates}
        spec = AgentSpec(
            name=f"hpc-runner-{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}",
            slots=slots,
            require_isolation=info.config.require_isolation,
            memory_bytes=HEADROOM_BYTES + slots * memory,
            processes=HEADROOM_PROCESSES + slots * processes,
            python=environment.interpreter,
            image=pinned_image(environment),
            mounts=mounts(candidates, sets.get(environment.name, {})),
            views=views(languages, image=environment.image is not None),
        )
        if spec.image is not None and spec.image.digest not in loaded:
            runtime.load(spec.image, lambda text: print(text, file=sys.stderr))
            loaded.add(spec.image.digest)
        agent = Agent(
            runtime.command(spec), runtime.environment(), kill=lambda: runtime.kill(spec.name)
        )
        if not _same(environment.python, agent.hello.python):
            agent.close()
            raise RuntimeFailure(
                f"environment {environment.name}: its Python is {agent.hello.python} on"
                f" {agent.hello.host}, and was {environment.python} where the run was planned"
            )
        return agent

    return start


def _same(planned: str | None, found: str) -> bool:
    """The same version but for bug fixes; nothing that isn't known differs."""
    return planned is None or planned.split(".")[:2] == found.split(".")[:2]


def die_with(parent: int) -> None:
    """SIGTERM when ``parent`` dies, and now if it is dead already."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
