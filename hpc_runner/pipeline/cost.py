"""What a run on a cluster takes: core-hours at most, and what is expected.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpc_runner.pipeline.sizing import EXECUTION_S

__all__ = ["START_S", "Cost", "array_expressions"]

START_S = 5.0
"""From an array task's start to its first execution: Slurm, the interpreter, the sandbox."""


@dataclass(frozen=True)
class Cost:
    """Of one pass over a corpus.  What Slurm or the coordinator has to repeat comes on top, as
    do later waves."""

    array_tasks: int
    cpus: int
    """Of an array task."""
    parallel: int
    """Array tasks at a time."""
    time_min: int
    """Time limit of an array task."""
    executions: int
    """At most."""
    execution_s: float = EXECUTION_S

    @property
    def core_hours_at_most(self) -> float:
        """If each array task takes all of its time limit."""
        return self.array_tasks * self.cpus * self.time_min / 60

    @property
    def core_hours_expected(self) -> float:
        work_s = self.executions * self.execution_s
        return min(
            (work_s + self.array_tasks * START_S * self.cpus) / 3600, self.core_hours_at_most
        )

    @property
    def expected_s(self) -> float:
        """From the first array task's start to the last one's end, if the cluster has room."""
        turns = math.ceil(self.array_tasks / self.parallel)
        at_once = min(self.array_tasks, self.parallel) * self.cpus
        return turns * START_S + self.executions * self.execution_s / max(1, at_once)


def array_expressions(tasks: int, largest: int, parallel: int) -> list[str]:
    """What ``--array`` is given for ``tasks`` array tasks where an array takes ``largest``:
    ``["0-999%256", "0-41%256"]``."""
    sizes = [largest] * (tasks // largest) + [tasks % largest] * (tasks % largest > 0)
    return [f"0-{size - 1}%{parallel}" for size in sizes]
