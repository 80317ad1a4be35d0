"""What the doctor says of two machines, and of those that lack something."""

from __future__ import annotations

from typing import Any

from hpc_runner.doctor import Agent, Comparison, Diagnosis, Job, Probe, notes
from hpc_runner.doctor_text import render, render_comparison
from hpc_runner.sandbox.inventory import Stored


def image(name: str = "py311", *, built: bool = True, **loaded: bool) -> Stored:
    return Stored(
        name=name,
        suite="bookworm",
        built=built,
        archive=f"/cache/{name}.tar",
        size_bytes=1 if built else None,
        reference=f"hpc-runner-{name}:0" if built else None,
        digest="00" * 32 if built else None,
        loaded=loaded,
        trouble=None,
    )


AGENT = Agent(python="3.11.2", kernel="6.1", isolation="full", mechanisms=("user",), missing={})
WORKS = Probe(
    works=True, found="Sarus 1.7.0 answers", mend="", image="i", agent=AGENT, agent_error=None
)
MISSING = Probe(
    works=False,
    found="'sarus' can't be started",
    mend="load its module",
    image=None,
    agent=None,
    agent_error=None,
)


def machine(**given: Any) -> Diagnosis:
    values: dict[str, Any] = {
        "host": "login1",
        "place": "login node",
        "place_reason": "Slurm answers, and we are in no job",
        "place_mend": "",
        "cluster": "alps",
        "job": None,
        "hpc_runner": "0.1.0",
        "python": "3.11.7",
        "executable": "/venv/bin/python",
        "platform": "Linux",
        "kernel": "6.1",
        "cores_usable": 8,
        "cores_of_the_machine": 64,
        "cores_by_affinity": 8,
        "cores_by_cgroup": None,
        "cores_by_slurm": None,
        "memory_usable_bytes": 4 << 30,
        "memory_of_the_machine_bytes": 256 << 30,
        "memory_by_cgroup_bytes": 4 << 30,
        "memory_by_slurm_bytes": None,
        "slots": 8,
        "slots_by_cores": 8,
        "slots_by_memory": 8,
        "slot_bytes": 448 << 20,
        "images": [image(sarus=True)],
        "old_archives": 0,
        "runtimes": {"sarus": MISSING},
        "chosen": None,
        "reason": "no runtime works here",
        **given,
    }
    return Diagnosis(**values)


def node(**given: Any) -> Diagnosis:
    job = Job(
        job_id="7_1", node="nid1", partition="normal", cpus=36, memory_bytes=4 << 30, restarts=2
    )
    values = {"host": "nid1", "place": "compute node", "job": job, "chosen": "sarus"}
    return machine(**{**values, "runtimes": {"sarus": WORKS}, **given})


def test_one_machine() -> None:
    told = render(node(slots=1, slots_by_memory=0, old_archives=2))
    assert "host     compute node nid1 of alps: " in told
    assert "job      7_1, node nid1, partition normal, 36 CPUs, 4.0 GiB, requeued 2 times" in told
    assert "room     1 at a time (cores for 8, memory for 0 that take 448 MiB each: too" in told
    assert "so give the job more" in told
    assert "py311 built, loaded in sarus; 2 old archives" in told
    assert "so give the job more" not in render(node())


def test_what_does_not_work_is_told_with_how_to_mend_it() -> None:
    told = render(machine(place_mend="see that `sinfo` works"))
    assert "    to mend it  see that `sinfo` works" in told
    assert "sarus    DOES NOT WORK: 'sarus' can't be started" in told
    assert "    to mend it  load its module" in told


def test_two_machines_beside_each_other() -> None:
    told = render_comparison(Comparison(here=machine(), node=node(), trouble=None, notes=("n",)))
    rows = [line.split("  ") for line in told.splitlines()]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    assert cells["host"][-2:] == ["login1 (login node)", "nid1 (compute node)"]
    assert cells["--runtime auto"] == ["nothing", "sarus"]
    assert told.splitlines()[-1] == "note: n"
    assert next(line for line in told.splitlines() if line.startswith("  sarus")).split() == [
        "sarus",
        "-",
        "full",
    ]


def test_no_node_is_told_with_the_reason() -> None:
    found = Comparison(here=machine(), node=None, trouble="srun gave no answer", notes=())
    told = render_comparison(found)
    assert told.endswith("No compute node was seen: srun gave no answer")


def test_only_differences_that_matter_are_noted() -> None:
    assert notes(machine(), None) == ()
    assert notes(machine(), node()) == ()
    (version,) = notes(machine(), node(hpc_runner="0.2.0"))
    assert "nid1 has hpc-runner 0.2.0" in version
    (python,) = notes(machine(), node(python="3.12.1"))
    assert "name one in the profile (python)" in python
    (unseen,) = notes(machine(), node(images=[image(built=False)]))
    assert "doesn't see the archives of py311" in unseen and "HPC_RUNNER_IMAGES" in unseen
    (unloaded,) = notes(machine(), node(images=[image(sarus=False), image("py313", sarus=False)]))
    assert "hpc-runner image load py311 py313 --on-node" in unloaded
    (nothing,) = notes(machine(), node(chosen=None, reason="it is forbidden"))
    assert nothing == "no runtime works on nid1: it is forbidden"
