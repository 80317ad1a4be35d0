"""pass@k."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["PASS_AT", "pass_at", "pass_at_k"]

PASS_AT = (1, 10, 100)
"""The k that a summary gives, as far as there are enough samples."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that at least one of ``k`` samples, drawn without putting back, is correct.

    The unbiased estimator of Chen et al. 2021, ``1 - C(n-c, k) / C(n, k)``, as a
    product that neither overflows nor cancels.  Needs ``k <= samples``.
    """
    if not 0 < k <= samples or not 0 <= correct <= samples:
        raise ValueError(f"pass@{k} of {correct} correct among {samples} samples has no meaning")
    if samples - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(samples - correct + 1, samples + 1))


def pass_at(tasks: Iterable[tuple[int, int, int]]) -> dict[int, float]:
    """pass@k for each k of ``PASS_AT`` that no task has too few samples for.

    ``tasks`` are (samples, correct, how many tasks have these); the result is
    the mean over tasks.  Empty without tasks.
    """
    tasks = list(tasks)
    if not tasks:
        return {}
    total = sum(count for _, _, count in tasks)
    fewest = min(samples for samples, _, _ in tasks)
    return {
        k: math.fsum(pass_at_k(n, c, k) * count for n, c, count in tasks) / total
        for k in PASS_AT
        if k <= fewest
    }
