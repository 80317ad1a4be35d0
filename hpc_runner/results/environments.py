"""What came out in each environment of a run, taken by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from hpc_runner.results.query import dict_rows
from hpc_runner.results.vote import TIE_ORDER
from hpc_runner.runinfo import RunInfo

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["EnvironmentCounts", "count_environments"]


class EnvironmentCounts(BaseModel):
    """One environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    python: tuple[str, ...]
    """Versions that executions there really had."""
    executions: int
    """Extra ones left out."""
    judged: int
    """Candidates with a judged execution there."""
    accepted: int
    """Of them, by majority and with consensus among their executions there."""


_COUNTS = """
WITH tallies AS (
    SELECT environment, wave, candidate_id, verdict, count(*) AS n,
           count(*) FILTER (isolation <> 'none') AS executions
    FROM results WHERE round < $rounds GROUP BY ALL
),
candidates AS (
    SELECT environment, sum(executions) AS executions,
           arg_max(verdict, n * 100 - list_position($tie_order, verdict))
               FILTER (verdict <> 'internal_error') AS verdict,
           max(n) FILTER (verdict <> 'internal_error') AS k,
           sum(n) FILTER (verdict <> 'internal_error') AS n
    FROM tallies GROUP BY environment, wave, candidate_id
),
pythons AS (
    SELECT environment,
           coalesce(list(DISTINCT python ORDER BY python) FILTER (isolation <> 'none'), [])
               AS python
    FROM results GROUP BY environment
)
SELECT environment AS name, any_value(python) AS python,
       sum(executions)::BIGINT AS executions, count(verdict) AS judged,
       count(*) FILTER (verdict = 'accepted' AND k / n >= $threshold) AS accepted
FROM candidates JOIN pythons USING (environment) GROUP BY environment
"""


# What the vote has found is what the only environment did: no need to group all rows again.
_ALONE = """
SELECT environment AS name,
       count(*) FILTER (isolation <> 'none' AND round < $rounds) AS executions,
       coalesce(list(DISTINCT python ORDER BY python) FILTER (isolation <> 'none'), []) AS python,
       (SELECT count(*) FROM votes WHERE judged > 0) AS judged,
       (SELECT count(*) FROM votes WHERE accepted) AS accepted
FROM results GROUP BY environment
"""


def count_environments(
    connection: DuckDBPyConnection, info: RunInfo
) -> tuple[EnvironmentCounts, ...]:
    """Those of the run, in its order, from the views ``results`` and ``votes``."""
    parameters = {
        "tie_order": [verdict.value for verdict in TIE_ORDER],
        "threshold": info.config.consensus_threshold,
        "rounds": info.config.rounds,
    }
    if len(info.environments) > 1:
        rows = dict_rows(connection, _COUNTS, parameters)
    else:
        rows = dict_rows(connection, _ALONE, {"rounds": info.config.rounds})
    found = {row["name"]: row for row in rows}
    nothing = {"python": (), "executions": 0, "judged": 0, "accepted": 0}
    return tuple(
        EnvironmentCounts(**{"name": item.name, **nothing, **found.get(item.name, {})})
        for item in info.environments
    )
