"""pass@k of parts of a corpus: its files, languages, and each environment by itself."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from hpc_runner.results.query import table_view
from hpc_runner.results.schema import CANDIDATES
from hpc_runner.results.statistics import interval, pass_at
from hpc_runner.results.vote import TIE_ORDER
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Part", "break_down"]

_MOST = 50


class Part(BaseModel):
    """A part of the corpus, or the whole of it as one environment judged it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["source", "language", "environment"]
    name: str
    tasks: int
    samples: int
    accepted: int
    """Samples."""
    pass_at: dict[int, float]
    """As in the summary, of the tasks and samples of this part."""
    pass_at_interval: dict[int, tuple[float, float]]
    """95 % bootstrap intervals over tasks."""


_VOTED = """
SELECT {name} AS name, s.task_id, count(*) AS n, count(*) FILTER (v.accepted) AS c
FROM samples s LEFT JOIN (FROM votes WHERE wave = 0) v USING (candidate_id)
LEFT JOIN languages l USING (candidate_id)
GROUP BY ALL
"""
_IN_ENVIRONMENTS = """
WITH tallies AS (
    SELECT environment, candidate_id, verdict, count(*) AS n FROM results
    WHERE wave = 0 AND round < $rounds AND verdict <> 'internal_error' GROUP BY ALL
),
voted AS (
    SELECT environment, candidate_id,
           arg_max(verdict, n * 100 - list_position($tie_order, verdict)) = 'accepted'
           AND max(n) / sum(n) >= $threshold AS accepted
    FROM tallies GROUP BY ALL
)
SELECT e.environment AS name, s.task_id, count(*) AS n,
       count(*) FILTER (coalesce(v.accepted, known.accepted)) AS c
FROM samples s CROSS JOIN (SELECT DISTINCT environment FROM voted) e
LEFT JOIN voted v ON v.environment = e.environment AND v.candidate_id = s.candidate_id
-- What came from the cache was not executed; environments never disagree there.
LEFT JOIN (FROM votes ANTI JOIN voted USING (candidate_id) WHERE wave = 0) known
    ON known.candidate_id = s.candidate_id
GROUP BY ALL
"""
_CLASSES = """
SELECT name, n, c, count(*) FROM ({by_task}) GROUP BY ALL ORDER BY name, n, c
"""


def break_down(connection: DuckDBPyConnection, run: RunDir, info: RunInfo) -> tuple[Part, ...]:
    """From the views ``samples``, ``votes`` and ``results``: where there are two sources,
    languages or environments at least, the first 50 of each by name."""
    files = [path for path in (run.candidates(0), run.cached_candidates) if path.exists()]
    table_view(connection, "programs", files, CANDIDATES)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE languages AS SELECT DISTINCT candidate_id, language"
        " FROM programs"
    )
    parts = _parts(connection, "source", _VOTED.format(name="s.file"))
    parts += _parts(connection, "language", _VOTED.format(name="coalesce(l.language, '')"))
    if len(info.environments) > 1:
        parameters = {
            "tie_order": [verdict.value for verdict in TIE_ORDER],
            "threshold": info.config.consensus_threshold,
            "rounds": info.config.rounds,
        }
        parts += _parts(connection, "environment", _IN_ENVIRONMENTS, parameters)
    return tuple(parts)


def _parts(
    connection: DuckDBPyConnection,
    kind: Literal["source", "language", "environment"],
    by_task: str,
    parameters: dict[str, object] | None = None,
) -> list[Part]:
    classes: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    query = _CLASSES.format(by_task=by_task)
    for name, n, c, count in connection.execute(query, parameters).fetchall():
        classes[name].append((n, c, count))
    if len(classes) < 2:
        return []
    return [
        Part(
            kind=kind,
            name=name,
            tasks=sum(count for _, _, count in found),
            samples=sum(n * count for n, _, count in found),
            accepted=sum(c * count for _, c, count in found),
            pass_at=pass_at(found),
            pass_at_interval={k: interval(found, k) for k in pass_at(found)},
        )
        for name, found in list(classes.items())[:_MOST]
    ]
