"""A Slurm that behaves, in memory: it answers the commands that ``Slurm`` runs, in Slurm's words.

Jobs do what the test says: ``set`` changes what squeue tells of a task.  Arrays get there through
``submit``, which stands in for submitit and sbatch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hpc_runner.errors import SchedulerBusy, SchedulerError
from hpc_runner.pipeline.arrays import Array
from hpc_runner.pipeline.slurm import _COLUMNS, Job, Slurm
from hpc_runner.rundir import RunDir


@dataclass
class FakeSlurm(Slurm):
    array_size: int = 1001
    min_job_age_s: int = 300
    jobs: dict[str, Job] = field(default_factory=dict)
    arrays: list[Array] = field(default_factory=list)
    """As they were submitted."""
    calls: list[list[str]] = field(default_factory=list)
    updates: list[tuple[str, ...]] = field(default_factory=list)
    """What ``scontrol update`` was told."""
    refusals: list[SchedulerError] = field(default_factory=list)
    """What the next submissions raise, before anything is taken."""
    dead: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def submit_array(self, _run: RunDir, array: Array) -> int:
        if self.refusals:
            raise self.refusals.pop(0)
        return self.take(array)

    def take(self, array: Array) -> int:
        """As slurmctld does: the job is there, whether or not anyone hears of it."""
        self.arrays.append(array)
        job_id = 100 * len(self.arrays)
        for index in range(len(array.shards)):
            job = Job(job_id, index, job_id, array.name, "PENDING", 0, 0, None, "None")
            self.jobs[job.id] = job
        return job_id

    def set(self, job_id: str, state: str, **values: Any) -> None:
        values = {"node": "n1", **values} if state != "PENDING" else values
        self.jobs[job_id] = replace(self.jobs[job_id], state=state, **values)

    def set_all(self, state: str, **values: Any) -> None:
        for job_id in self.jobs:
            self.set(job_id, state, **values)

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        self.calls.append(list(argv))
        if self.dead:
            raise SchedulerBusy(f"{argv[0]} gave no answer in 30 s")
        if argv[0] == "squeue":
            return "".join(line(job) for job in self.jobs.values())
        if argv[:3] == ["scontrol", "show", "config"]:
            return f"MaxArraySize = {self.array_size}\nMinJobAge = {self.min_job_age_s} sec\n"
        if argv[0] == "sbatch":
            return self._sbatch(argv)
        if argv[:2] == ["scontrol", "update"]:
            self.updates.append(tuple(argv[2:]))
            return ""
        if argv[0] == "scancel":
            for job_id in argv[1:]:
                if job_id in self.jobs and self.jobs[job_id].state in ("PENDING", "RUNNING"):
                    self.set(job_id, "CANCELLED")
                for known in [known for known in self.jobs if known.startswith(f"{job_id}_")]:
                    if self.jobs[known].state in ("PENDING", "RUNNING"):
                        self.set(known, "CANCELLED")
            return ""
        raise AssertionError(f"no such command here: {argv}")

    @property
    def cancelled(self) -> list[str]:
        """What scancel was told, option or id."""
        return [word for call in self.calls if call[0] == "scancel" for word in call[1:]]

    def _sbatch(self, argv: Sequence[str]) -> str:
        job_id = 9001 + sum(job.index is None for job in self.jobs.values())
        (name,) = [word.partition("=")[2] for word in argv if word.startswith("--job-name=")]
        job = Job(job_id, None, job_id, name, "PENDING", 0, 0, None, "Dependency")
        self.jobs[job.id] = job
        return f"{job_id}\n"


def line(job: Job) -> str:
    """As squeue tells of a job."""
    index = "N/A" if job.index is None else job.index
    code = -job.exit_status if job.exit_status < 0 else job.exit_status << 8
    node = job.node or "n/a"
    values = (
        *(job.array, index, job.raw, job.state, job.restarts, code, node, job.reason, job.name),
    )
    pairs = zip(values, _COLUMNS.values(), strict=True)
    return "".join(f"{value!s:<{width}}|" for value, width in pairs) + "\n"
