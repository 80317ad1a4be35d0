"""How many candidates a shard gets.  Pure.

On one machine by their number.  On a cluster by the time that they are expected to take: an
array task should last 5 to 15 minutes, so that neither its start nor what it may have to repeat
matters, and those with the slowest candidates come first, so that nobody waits for them at the
end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hpc_runner.model import Candidate, Stdio

__all__ = ["EXECUTION_S", "ByTime", "execution_s", "shard_s", "shard_size"]

EXECUTION_S = 0.012
"""Seconds that an execution takes where nothing better is known: HumanEval's on one core of
2026."""
OVER_TIME = 0.02
"""Share of executions that is expected to run into its time limit, where nothing is known."""
SHORTEST_S, LONGEST_S = 300.0, 900.0
"""Of an array task, as far as there is enough to do."""
MOST_PER_SHARD = 2000
"""Candidates, on one machine."""
MOST_BY_TIME = 20_000
"""Candidates, on a cluster: a worker holds its shard, and that is about 10 kB for each."""
LEAST_EXECUTIONS = 1000
"""Per shard, as long as every worker has one: starting a worker has to pay."""


def shard_size(candidates: int, executions: int, workers: int) -> int:
    """Candidates per shard: four shards for each worker, so that none waits long for the
    last one; fewer when that would leave less than ``LEAST_EXECUTIONS`` in each, but never
    fewer than workers.  ``executions``: of each candidate, at most."""
    worth = candidates * executions // LEAST_EXECUTIONS
    shards = min(max(worth, workers), workers * 4)
    return max(1, min(math.ceil(candidates / shards), MOST_PER_SHARD))


def execution_s(candidate: Candidate, known_s: Mapping[str, float] | None = None) -> float:
    """Seconds that one execution is expected to take: what executions of its task took
    (``known_s``, by task_id), else a guess from the number of its runs and its time limit."""
    if known_s is not None and candidate.task_id in known_s:
        return known_s[candidate.task_id]
    runs = len(candidate.tests.cases) if isinstance(candidate.tests, Stdio) else 1
    limit_s = candidate.limits.wall_s
    return min(runs * EXECUTION_S, limit_s) + OVER_TIME * limit_s


def shard_s(total_s: float, places: int) -> float:
    """Seconds of CPU that a shard should take, for each slot, if ``places`` slots share
    ``total_s``: four shards for each place, within what an array task should last."""
    return min(max(total_s / max(1, places) / 4, SHORTEST_S), LONGEST_S)


class ByTime:
    """Ends a shard when its candidates take ``budget_s`` seconds of CPU together.

    Called with each candidate in turn, and how many the shard has with it.
    """

    def __init__(self, budget_s: float, cost_s: Callable[[Candidate], float]) -> None:
        self._budget_s = budget_s
        self._cost_s = cost_s
        self._sum_s = 0.0

    def __call__(self, held: int, candidate: Candidate) -> bool:
        self._sum_s = self._cost_s(candidate) + (self._sum_s if held > 1 else 0.0)
        return self._sum_s >= self._budget_s or held >= MOST_BY_TIME
