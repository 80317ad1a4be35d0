"""What this machine can do: probed, never guessed, with how to mend what doesn't work."""

from __future__ import annotations

import platform
import sys

from pydantic import BaseModel, ConfigDict

from hpc_runner import __version__
from hpc_runner.config import DEFAULT_IMAGE
from hpc_runner.errors import HpcRunnerError
from hpc_runner.machine import cores, memory
from hpc_runner.sandbox import images
from hpc_runner.sandbox.runtimes import RUNTIMES, Runtime, choose
from hpc_runner.sandbox.selfcheck import check_agent

__all__ = ["Agent", "Diagnosis", "Probe", "examine", "render"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Agent(_Model):
    """What an agent said of itself after starting in the runtime."""

    python: str
    kernel: str
    isolation: str
    """Level: limits, filtered or full."""
    mechanisms: tuple[str, ...]
    missing: dict[str, str]
    """Mechanism → why it can't be had."""


class Probe(_Model):
    """One runtime."""

    works: bool
    found: str
    mend: str
    """Empty where nothing is to be mended."""
    image: str | None
    """What was found of the image, for a runtime that needs one."""
    agent: Agent | None
    """None where the agent wasn't started: the runtime doesn't work or its image isn't built."""
    agent_error: str | None


class Diagnosis(_Model):
    """Everything that ``hpc-runner doctor`` knows."""

    hpc_runner: str
    python: str
    executable: str
    platform: str
    kernel: str
    cores_usable: int
    cores_of_the_machine: int
    cores_by_affinity: int
    cores_by_cgroup: float | None
    cores_by_slurm: int | None
    memory_usable_bytes: int | None
    memory_of_the_machine_bytes: int | None
    memory_by_cgroup_bytes: int | None
    memory_by_slurm_bytes: int | None
    runtimes: dict[str, Probe]
    chosen: str | None
    """By ``--runtime auto``."""
    reason: str
    """Why, or why none."""


def examine() -> Diagnosis:
    """Probe everything.  Takes some seconds: each runtime that works starts an agent.
    Nothing is built or downloaded."""
    ours, memories = cores(), memory()
    try:
        chosen, reason = choose("auto")
        name = chosen.name
    except HpcRunnerError as error:
        name, reason = None, str(error)
    return Diagnosis(
        hpc_runner=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        kernel=platform.release(),
        cores_usable=ours.usable,
        cores_of_the_machine=ours.machine,
        cores_by_affinity=ours.affinity,
        cores_by_cgroup=ours.quota,
        cores_by_slurm=ours.slurm,
        memory_usable_bytes=memories.usable,
        memory_of_the_machine_bytes=memories.machine,
        memory_by_cgroup_bytes=memories.cgroup,
        memory_by_slurm_bytes=memories.slurm,
        runtimes={name: _probe(make(), DEFAULT_IMAGE) for name, make in RUNTIMES.items()},
        chosen=name,
        reason=reason,
    )


def _probe(runtime: Runtime, image_name: str) -> Probe:
    found = runtime.available()
    nothing = {"image": None, "agent": None, "agent_error": None}
    result = Probe(works=found.ok, found=found.reason, mend=found.mend, **nothing)
    try:
        image = None
        if runtime.needs_image:
            known = images.find(image_name)
            if known is None:
                can = images.obtainable(image_name)
                told = {"image": f"not built yet; {can.reason}", "mend": result.mend or can.mend}
                return result.model_copy(update={**told, "works": found.ok and can.ok})
            told = {"image": f"{known.reference}, sha256:{known.digest.hex()[:12]}"}
            result = result.model_copy(update=told)
            image = runtime.ensure_image(image_name, lambda _: None) if found.ok else known
        if not found.ok:
            return result
        hello = check_agent(runtime, image)
    except HpcRunnerError as error:
        return result.model_copy(update={"works": False, "agent_error": str(error)})
    agent = Agent(
        python=hello.python,
        kernel=hello.kernel,
        isolation=hello.isolation,
        mechanisms=hello.mechanisms,
        missing=dict(hello.missing),
    )
    return result.model_copy(update={"agent": agent})


def render(diagnosis: Diagnosis) -> str:
    """For people, in lines that read well in a mail."""
    d = diagnosis
    lines = [
        f"hpc-runner {d.hpc_runner}, Python {d.python} at {d.executable}",
        d.platform,
        f"cores    {d.cores_usable} are ours ({_limits(d)})",
        f"memory   {_size(d.memory_usable_bytes)} ({_memories(d)})",
        "",
        f"--runtime auto takes {d.chosen}" if d.chosen else "--runtime auto finds nothing",
        f"    {d.reason}",
    ]
    for name, probed in d.runtimes.items():
        lines += ["", f"{name:<8} {'works' if probed.works else 'DOES NOT WORK'}: {probed.found}"]
        if probed.image:
            lines.append(f"    image       {probed.image}")
        if probed.agent_error:
            lines.append(f"    agent       {probed.agent_error}")
        if probed.agent is not None:
            agent = probed.agent
            lines.append(f"    agent       Python {agent.python}, kernel {agent.kernel}")
            lines.append(f"    isolation   {agent.isolation}: {', '.join(agent.mechanisms)}")
            lines += [f"    missing     {what}: {why}" for what, why in agent.missing.items()]
        if probed.mend:
            lines.append(f"    to mend it  {probed.mend}")
    return "\n".join(lines)


def _limits(d: Diagnosis) -> str:
    parts = [f"the machine has {d.cores_of_the_machine}", f"affinity {d.cores_by_affinity}"]
    if d.cores_by_cgroup is not None:
        parts.append(f"control group {d.cores_by_cgroup:g}")
    if d.cores_by_slurm is not None:
        parts.append(f"Slurm {d.cores_by_slurm}")
    return ", ".join(parts)


def _memories(d: Diagnosis) -> str:
    parts = [f"the machine has {_size(d.memory_of_the_machine_bytes)}"]
    if d.memory_by_cgroup_bytes is not None:
        parts.append(f"control group {_size(d.memory_by_cgroup_bytes)}")
    if d.memory_by_slurm_bytes is not None:
        parts.append(f"Slurm {_size(d.memory_by_slurm_bytes)}")
    return ", ".join(parts)


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
