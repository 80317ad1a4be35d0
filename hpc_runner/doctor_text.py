"""What the doctor found, in lines that read well in a mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpc_runner.doctor import Comparison, Diagnosis

__all__ = ["render", "render_comparison"]


def render(diagnosis: Diagnosis) -> str:
    d = diagnosis
    where = f"{d.place} {d.host}" + (f" of {d.cluster}" if d.cluster else "")
    lines = [
        f"hpc-runner {d.hpc_runner}, Python {d.python} at {d.executable}",
        d.platform,
        f"host     {where}: {d.place_reason}",
        *([f"    to mend it  {d.place_mend}"] if d.place_mend else []),
        *([f"job      {_job(d)}"] if d.job is not None else []),
        f"cores    {d.cores_usable} are ours ({_limits(d)})",
        f"memory   {_size(d.memory_usable_bytes)} ({_memories(d)})",
        f"room     {_room(d)}",
        f"images   {_images(d)}",
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


def _job(d: Diagnosis) -> str:
    job = d.job
    assert job is not None
    parts = [job.job_id, f"node {job.node}" if job.node else "on other nodes"]
    parts += [f"partition {job.partition}"] if job.partition else []
    parts += [f"{job.cpus} CPUs"] if job.cpus is not None else []
    parts += [_size(job.memory_bytes)] if job.memory_bytes is not None else []
    parts += [f"requeued {job.restarts} times"] if job.restarts else []
    return ", ".join(parts)


def _room(d: Diagnosis) -> str:
    said = f"{d.slots} at a time (cores for {d.slots_by_cores}"
    if d.slots_by_memory is not None:
        said += f", memory for {d.slots_by_memory:,} that take {d.slot_bytes >> 20} MiB each"
    if d.slots_by_memory == 0:
        said += ": too little even for one, so give the job more"
    return said + ")"


def _images(d: Diagnosis) -> str:
    parts = []
    for image in d.images:
        loaded = ", ".join(name for name, there in image.loaded.items() if there)
        if image.digest is None:
            parts.append(f"{image.name} {'is damaged' if image.built else 'not built'}")
        else:
            parts.append(f"{image.name} built" + (f", loaded in {loaded}" if loaded else ""))
    if d.old_archives:
        parts.append(f"{d.old_archives} old archives (`hpc-runner image prune` removes them)")
    return "; ".join(parts)


def render_comparison(found: Comparison) -> str:
    """Both machines beside each other, then the node's own story."""
    here, node = found.here, found.node
    if node is None:
        return f"{render(here)}\n\nNo compute node was seen: {found.trouble}"
    rows = [
        ("", "here", "compute node"),
        *((title, of(here), of(node)) for title, of in _ROWS),
        *((f"  {name}", _runtime(here, name), _runtime(node, name)) for name in here.runtimes),
    ]
    lines = [render(here), "", f"And on a compute node, {node.host}:", "", render(node), ""]
    lines += ["Beside each other:", "", *_table(rows)]
    lines += ["", *(f"note: {note}" for note in found.notes)] if found.notes else []
    return "\n".join(lines)


_ROWS: tuple[tuple[str, Callable[[Diagnosis], str]], ...] = (
    ("host", lambda d: f"{d.host} ({d.place})"),
    ("hpc-runner", lambda d: d.hpc_runner),
    ("Python", lambda d: d.python),
    ("kernel", lambda d: d.kernel),
    ("cores", lambda d: f"{d.cores_usable} of {d.cores_of_the_machine}"),
    ("memory", lambda d: _size(d.memory_usable_bytes)),
    ("at a time", lambda d: str(d.slots)),
    ("--runtime auto", lambda d: d.chosen or "nothing"),
)


def _runtime(d: Diagnosis, name: str) -> str:
    probed = d.runtimes.get(name)
    if probed is None or not probed.works:
        return "-"
    return probed.agent.isolation if probed.agent is not None else "works"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
