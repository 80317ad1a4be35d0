"""When a candidate may be stopped although the rest could still change its vote, but hardly does.

The full vote of N executions finds consensus when at most ``allowed`` of them dissent from the
majority.  A sequential test stops after n executions with d dissenting when d is at most
``boundary(N, ...)[n]``.  It is wrong when the full vote would have found no consensus.

The boundary is made so that a candidate, *whatever* its probability p of dissenting is, is
stopped wrongly with a probability of at most ``error_rate``.  No distribution of p is assumed,
but executions are taken for independent.  Where only certainty will do, as for three rounds at
a threshold of 0.8, nothing is stopped.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

__all__ = ["allowed", "boundary", "expected"]

_GRID = tuple(step / 100 for step in range(1, 70))
_LEAST = 1e-12


def allowed(planned: int, threshold: float) -> int:
    """How many of ``planned`` executions may dissent from a consensus."""
    return max(d for d in range(planned) if (planned - d) / planned >= threshold)


@functools.lru_cache(maxsize=64)
def boundary(planned: int, threshold: float, error_rate: float) -> tuple[int, ...]:
    """For n = 0, ..., ``planned`` the most dissenting executions to stop with, -1: never.

    Stops where the chance of a wrong decision, p being unknown (uniform), is at most g; g is
    the largest of a fine grid for which no p is decided wrongly more often than ``error_rate``.
    Pure; takes seconds for hundreds of executions.
    """
    most = allowed(planned, threshold)
    chances = [
        [_overturned(planned, most, n, d) for d in range(min(n, most) + 1)]
        for n in range(planned + 1)
    ]
    low, high = 0, 120  # g = 10^(-step/20); step `high` is as good as never
    while low < high:
        step = (low + high) // 2
        if _worst(planned, threshold, _below(chances, 10 ** (-step / 20))) <= error_rate:
            high = step
        else:
            low = step + 1
    found = _below(chances, 10 ** (-low / 20))
    return found if _worst(planned, threshold, found) <= error_rate else _below(chances, 0.0)


def expected(
    planned: int, threshold: float, bounds: Sequence[int], p: float
) -> tuple[float, float]:
    """(probability of a wrong stop, mean number of executions) of a candidate that dissents
    with probability ``p``, exactly.  Certainty stops it, too."""
    most = allowed(planned, threshold)
    alive, wrong, spent = {0: 1.0}, 0.0, 0.0
    for n in range(1, planned + 1):
        after: dict[int, float] = {}
        for d, mass in alive.items():
            after[d] = after.get(d, 0.0) + mass * (1 - p)
            after[d + 1] = after.get(d + 1, 0.0) + mass * p
        spent += sum(alive.values())
        alive = {}
        for d, mass in after.items():
            if d > most or d + planned - n <= most:
                continue
            if d <= bounds[n]:
                wrong += mass * _more_than(most - d, planned - n, p)
            elif mass > _LEAST:
                alive[d] = mass
    return wrong, spent


def _worst(planned: int, threshold: float, bounds: Sequence[int]) -> float:
    return max(expected(planned, threshold, bounds, p)[0] for p in _GRID)


def _below(chances: Sequence[Sequence[float]], least: float) -> tuple[int, ...]:
    """For each n the largest d whose chance is at most ``least``."""
    return tuple(max((d for d, c in enumerate(row) if c <= least), default=-1) for row in chances)


def _overturned(planned: int, most: int, n: int, d: int) -> float:
    """The chance that more than ``most`` dissent in the end, after d of n did: p is then
    distributed as Beta(d + 1, n - d + 1)."""
    left, total = planned - n, 0.0
    for x in range(most - d + 1, left + 1):
        total += math.exp(
            _log_choose(left, x) + _log_beta(d + 1 + x, n - d + 1 + left - x)
            - _log_beta(d + 1, n - d + 1)
        )  # fmt: skip
    return total


@functools.lru_cache(maxsize=1 << 16)
def _more_than(x: int, n: int, p: float) -> float:
    """P(Binomial(n, p) > x)."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(x + 1, n + 1))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_beta(a: int, b: int) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
