"""pass@k, shares, and how sure one can be of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

__all__ = ["PASS_AT", "Z", "interval", "pass_at", "pass_at_k", "wilson"]

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution

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


def interval(
    tasks: Iterable[tuple[int, int, int]], k: int, *, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the mean of pass@k over tasks, by a bootstrap of the tasks.

    ``tasks`` as for ``pass_at``, none with fewer than ``k`` samples.  In each draw every task
    counts as often as a Poisson variable of mean 1 says, which is drawing with replacement
    but for the number of tasks; the interval lies between the 2.5 % and 97.5 % quantiles of
    the means.  It says how the result depends on which tasks the corpus has.  One task alone
    has an interval of no width.  Pure: the same seed gives the same interval.
    """
    values = [(pass_at_k(n, c, k), count) for n, c, count in tasks]
    draw = random.Random(seed)
    means = []
    for _ in range(draws):
        weights = [_poisson(draw, count) for _, count in values]
        whole = sum(weights)
        if whole:
            weighted = zip(values, weights, strict=True)
            means.append(math.fsum(value * weight for (value, _), weight in weighted) / whole)
    means.sort()
    if not means:
        raise ValueError("an interval needs a task at least")
    return means[int(0.025 * len(means))], means[min(len(means) - 1, int(0.975 * len(means)))]


def _poisson(draw: random.Random, mean: int) -> int:
    """A Poisson variable; the normal one beside it where it can't be told apart."""
    if mean > 100:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    count, product, least = 0, draw.random(), math.exp(-mean)
    while product > least:
        count += 1
        product *= draw.random()
    return count


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, z2 = count / total, Z * Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = share * (1 - share) / total + z2 / (4 * total * total)
    half = Z * math.sqrt(spread) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)
