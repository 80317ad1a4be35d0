"""What this machine can do, and a compute node: probed, never guessed, with how to mend what
doesn't work."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, ValidationError

from hpc_runner import __version__
from hpc_runner.config import DEFAULT_IMAGE, explain
from hpc_runner.errors import HpcRunnerError
from hpc_runner.machine import cores, memory
from hpc_runner.model import Limits
from hpc_runner.pipeline.host import find_host, fitting
from hpc_runner.pipeline.on_node import on_node
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.sandbox import images
from hpc_runner.sandbox.inventory import Stored, remains, stored
from hpc_runner.sandbox.runtimes import RUNTIMES, Runtime, choose
from hpc_runner.sandbox.selfcheck import check_agent
from hpc_runner.sandbox.starter import slot_bytes

__all__ = ["Agent", "Comparison", "Diagnosis", "Job", "Probe", "compare", "examine", "notes"]

RUN_MIN = 5
"""Time limit of the job that looks at a compute node."""


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


class Job(_Model):
    """What Slurm has given to the job that we are in; see ``machine.Allocation``."""

    job_id: str
    node: str | None
    partition: str | None
    cpus: int | None
    memory_bytes: int | None
    restarts: int


class Diagnosis(_Model):
    """Everything that ``hpc-runner doctor`` knows of one machine."""

    host: str
    place: str
    """workstation, login node or compute node."""
    place_reason: str
    place_mend: str
    """Empty where nothing is to be mended."""
    cluster: str | None
    """Its name."""
    job: Job | None
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
    slots: int
    """Executions at a time that are recommended here."""
    slots_by_cores: int
    slots_by_memory: int | None
    slot_bytes: int
    """Memory that is counted for each of them, by the default limits."""
    images: list[Stored]
    old_archives: int
    runtimes: dict[str, Probe]
    chosen: str | None
    """By ``--runtime auto``."""
    reason: str
    """Why, or why none."""


class Comparison(_Model):
    """This machine and a compute node."""

    here: Diagnosis
    node: Diagnosis | None
    trouble: str | None
    """Why there is no answer from a node."""
    notes: tuple[str, ...]
    """What of the differences matters, each with what to do."""


def examine() -> Diagnosis:
    """Probe everything.  Takes some seconds: each runtime that works starts an agent.
    Nothing is built or downloaded."""
    ours, memories, fits, host = cores(), memory(), fitting(), find_host()
    try:
        chosen, reason = choose("auto")
        name = chosen.name
    except HpcRunnerError as error:
        name, reason = None, str(error)
    runtimes = {key: make() for key, make in RUNTIMES.items()}
    probes = {key: _probe(runtime, DEFAULT_IMAGE) for key, runtime in runtimes.items()}
    can_load = {key: runtimes[key] for key in probes if probes[key].works}
    return Diagnosis(
        host=platform.node(),
        place=host.place,
        place_reason=host.why,
        place_mend=host.mend,
        cluster=host.cluster,
        job=None if host.allocation is None else Job(**asdict(host.allocation)),
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
        slots=fits.slots,
        slots_by_cores=fits.by_cores,
        slots_by_memory=fits.by_memory,
        slot_bytes=slot_bytes(Limits()),
        images=stored({key: made for key, made in can_load.items() if made.needs_image}),
        old_archives=len(remains()),
        runtimes=probes,
        chosen=name,
        reason=reason,
    )


def compare(profile: Profile, wait_s: float) -> Comparison:
    """Examine this machine, and a compute node by a job that waits and runs for at most
    ``wait_s`` seconds.  Raises nothing for a cluster that doesn't answer."""
    here = examine()
    node, trouble = None, None
    try:
        said = on_node(["doctor", "--json"], profile, deadline_s=wait_s, time_min=RUN_MIN)
        node = Diagnosis.model_validate_json(said)
    except HpcRunnerError as error:
        trouble = str(error)
    except ValidationError as error:
        trouble = f"the node's hpc-runner is another version: {explain(error)[:300]}"
    return Comparison(here=here, node=node, trouble=trouble, notes=notes(here, node))


def notes(here: Diagnosis, node: Diagnosis | None) -> tuple[str, ...]:
    """What of the differences matters, each with what to do."""
    if node is None:
        return ()
    found = []
    if node.hpc_runner != here.hpc_runner:
        found.append(f"{node.host} has hpc-runner {node.hpc_runner}: install one for both")
    if node.python != here.python:
        found.append(
            f"{node.host} runs hpc-runner with Python {node.python} and this machine with"
            f" {here.python}: name one in the profile (python)"
        )
    built = {image.name for image in node.images if image.built}
    if unseen := [image.name for image in here.images if image.built and image.name not in built]:
        found.append(
            f"{node.host} doesn't see the archives of {', '.join(unseen)}: keep them in a directory"
            " that every node sees (image_repository in the profile, or HPC_RUNNER_IMAGES)"
        )
    if node.chosen is None:
        found.append(f"no runtime works on {node.host}: {node.reason}")
    elif unloaded := [
        image.name for image in node.images if image.loaded.get(node.chosen) is False
    ]:
        found.append(
            f"{node.chosen} on {node.host} hasn't loaded {', '.join(unloaded)}:"
            f" hpc-runner image load {' '.join(unloaded)} --on-node"
        )
    return tuple(found)


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
