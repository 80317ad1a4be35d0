"""Why the executions of a candidate disagree: which of the things that were varied explains it.

What is varied are the environment and the dimensions of the perturbation.

* The **environment** explains a candidate when every environment's judged executions, taken by
  themselves, agree.
* A **dimension** explains it when all judged executions in which it was neutral agree, so that
  those with another verdict, the *odd* ones, were all perturbed in it.

That may be chance.  If which executions are odd had nothing to do with what was varied, all
arrangements of the same verdicts over the executions would be equally likely.  The *chance*
of an explanation is the share of the arrangements that fit it: 1 of ``n! / (m1! m2! ...)`` for
the environment, with m1, m2, ... executions of each verdict; ``C(k, m) / C(n, m)`` for a
dimension that was perturbed in k of n executions, m of which are odd, times the number of
dimensions that were tried.  An explanation counts when its chance is at most ``LEVEL``.

The **cause** is the environment, if it explains the candidate; else the dimension with the
least chance, if no other has the same.  Else there is none.

``explain`` is this rule in Python, ``EXPLAINED`` in DuckDB's SQL.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence, Set
from enum import StrEnum
from typing import NamedTuple

from hpc_runner.model import Verdict

__all__ = [
    "ENVIRONMENT",
    "EXPLAINED",
    "LEVEL",
    "Explanation",
    "Observation",
    "Reliability",
    "explain",
    "reliability",
]

LEVEL = 0.05
ENVIRONMENT = "environment"
_LOAD = ("load", "cpus")


class Reliability(StrEnum):
    """What a candidate's executions say of it."""

    STABLE = "stable"
    """All have the same verdict."""
    FLAKY = "flaky"
    """They disagree, for another reason than the next two, or for none that was found."""
    ENVIRONMENT_DEPENDENT = "environment_dependent"
    LOAD_DEPENDENT = "load_dependent"
    """The cause is what the program gets of the machine: load beside it, or the CPUs it has."""
    UNJUDGED = "unjudged"
    """No execution was judged."""


class Observation(NamedTuple):
    """A judged execution."""

    environment: str
    perturbed: Set[str] | None
    """Dimensions that were not neutral; None: the verdict was found without running it."""
    verdict: Verdict


class Explanation(NamedTuple):
    cause: str | None
    hopeless: bool
    """Nothing explains it, and no further execution can change that."""


def explain(seen: Sequence[Observation]) -> Explanation:
    """The cause of a disagreement; for executions that do disagree.  Pure."""
    n = len(seen)
    chance = _chance_of_environment(seen)
    if chance is not None and chance <= LEVEL:
        return Explanation(ENVIRONMENT, False)
    dimensions = sorted(set().union(*(item.perturbed or () for item in seen)))
    chances: dict[str, float] = {}
    for name in dimensions:
        neutral = {item.verdict for item in seen if name not in (item.perturbed or ())}
        if len(neutral) == 1:
            perturbed = [item.verdict for item in seen if name in (item.perturbed or ())]
            k, m = len(perturbed), sum(verdict not in neutral for verdict in perturbed)
            chances[name] = len(dimensions) * math.comb(k, m) / math.comb(n, m)
    if not chances:
        return Explanation(None, chance is None)
    least = min(chances.values())
    best = [name for name, value in chances.items() if value <= least * _EQUAL]
    found = best[0] if least <= LEVEL and len(best) == 1 else None
    return Explanation(found, False)


_EQUAL = 1 + 1e-9


def _chance_of_environment(seen: Sequence[Observation]) -> float | None:
    """None where it doesn't explain them."""
    found: dict[str, set[Verdict]] = {}
    for item in seen:
        found.setdefault(item.environment, set()).add(item.verdict)
    if len(found) < 2 or any(len(verdicts) > 1 for verdicts in found.values()):
        return None
    if any(item.perturbed is None for item in seen):
        return 0.0
    counts = Counter(item.verdict for item in seen)
    return math.prod(map(math.factorial, counts.values())) / math.factorial(len(seen))


def reliability(cause: str | None) -> Reliability:
    """The class of a candidate whose executions disagree."""
    if cause == ENVIRONMENT:
        return Reliability.ENVIRONMENT_DEPENDENT
    return Reliability.LOAD_DEPENDENT if cause in _LOAD else Reliability.FLAKY


EXPLAINED = f"""
CREATE OR REPLACE TEMP TABLE explained AS
WITH seen AS (
    SELECT candidate_id, environment, verdict, perturbation IS NULL AS unrun,
           list_transform(string_split(coalesce(perturbation, 'neutral'), ' '),
                          lambda word: split_part(word, '=', 1)) AS perturbed
    FROM results SEMI JOIN (FROM mixed WHERE k < n) USING (candidate_id)
    WHERE verdict <> 'internal_error'
),
counts AS (
    SELECT candidate_id, verdict, count(*) AS m FROM seen GROUP BY ALL
),
wholes AS (
    SELECT candidate_id, sum(m) AS n,
           exp(sum(lgamma(m + 1)) - lgamma(sum(m) + 1)) AS chance
    FROM counts GROUP BY candidate_id
),
places AS (
    SELECT candidate_id, environment, count(DISTINCT verdict) AS verdicts, bool_or(unrun) AS unrun
    FROM seen GROUP BY ALL
),
by_environment AS (
    SELECT candidate_id, '{ENVIRONMENT}' AS cause
    FROM places JOIN wholes USING (candidate_id)
    GROUP BY candidate_id
    HAVING count(*) > 1 AND max(verdicts) = 1
       AND (bool_or(unrun) OR max(chance) <= {LEVEL} * {_EQUAL})
),
tried AS (
    SELECT DISTINCT candidate_id, unnest(perturbed) AS name FROM seen
),
dimensions AS (
    SELECT *, count(*) OVER (PARTITION BY candidate_id) AS tried FROM tried WHERE name <> 'neutral'
),
split AS (
    SELECT candidate_id, name, tried, list_contains(perturbed, name) AS is_perturbed, verdict
    FROM seen JOIN dimensions USING (candidate_id)
),
neutral AS (
    SELECT candidate_id, name, any_value(verdict) AS verdict
    FROM split WHERE NOT is_perturbed
    GROUP BY ALL HAVING count(DISTINCT verdict) = 1
),
odd AS (
    SELECT s.candidate_id, s.name, any_value(tried) AS tried, count(*) AS k,
           count(*) FILTER (s.verdict <> o.verdict) AS m
    FROM split s JOIN neutral o USING (candidate_id, name) WHERE is_perturbed GROUP BY ALL
),
chances AS (
    SELECT candidate_id, name, tried * exp(
        lgamma(k + 1) - lgamma(k - m + 1) - lgamma(n + 1) + lgamma(n - m + 1)) AS chance
    FROM odd JOIN wholes USING (candidate_id)
),
best AS (
    SELECT candidate_id, arg_min(name, chance) AS cause
    FROM (SELECT *, min(chance) OVER (PARTITION BY candidate_id) AS least FROM chances)
    WHERE chance <= least * {_EQUAL}
    GROUP BY candidate_id HAVING count(*) = 1 AND max(chance) <= {LEVEL} * {_EQUAL}
)
SELECT candidate_id, coalesce(e.cause, b.cause) AS cause,
       CASE WHEN e.cause IS NOT NULL THEN '{Reliability.ENVIRONMENT_DEPENDENT}'
            WHEN b.cause IN {_LOAD} THEN '{Reliability.LOAD_DEPENDENT}'
            ELSE '{Reliability.FLAKY}' END AS reliability
FROM by_environment e FULL JOIN best b USING (candidate_id)
"""
"""From the views ``results`` and ``mixed``: the candidates that have a cause."""
