"""What refinement did in a run, in numbers: from ``refined.parquet`` of each wave and the votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from hpc_runner.results.query import dict_rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["FailureType", "Refinement", "StrategyCounts", "summarise_refinement"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StrategyCounts(_Model):
    """A way of repairing: a strategy of the model's, or ``local`` for those without one."""

    name: str
    tried: int
    """Failures that it was the last one for."""
    accepted: int
    """Of them, those whose repair was accepted."""
    answers: int
    tokens: int
    usd: float | None


class FailureType(_Model):
    """What can go wrong, by type (docs/errors.md)."""

    type: str
    failures: int
    """Candidates of wave 0; for ``api`` and ``parsing``, answers."""
    recovered: int
    """Of them, those that something accepted was made of in the end; or that an answer of use
    followed."""

    @property
    def rate(self) -> float | None:
        return self.recovered / self.failures if self.failures else None


class Refinement(_Model):
    """Counts are of failures: a candidate in each wave in which it was to be refined."""

    failures: int
    made: int
    """Something new was made of them."""
    accepted: int
    """What was made of them was accepted."""
    answers: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    usd: float | None
    """None: what an answer cost isn't known."""
    usd_per_accepted: float | None
    strategies: tuple[StrategyCounts, ...]
    repairs: dict[str, int]
    """Without a model, by name."""
    reasons: dict[str, int]
    """Why nothing was made of a failure."""
    models: dict[str, int]
    """Failures by the model that answered last."""
    types: tuple[FailureType, ...]


def summarise_refinement(connection: DuckDBPyConnection) -> Refinement | None:
    """None where nothing was refined.  The connection has the views ``votes``, ``refined`` and
    ``mended`` (lineage.py)."""
    connection.execute(_OUTCOMES)
    whole = dict_rows(connection, _WHOLE)[0]
    if not whole["failures"]:
        return None
    usd, accepted = whole["usd"], whole["accepted"]
    return Refinement(
        **whole,
        usd_per_accepted=usd / accepted if usd is not None and accepted else None,
        strategies=tuple(StrategyCounts(**row) for row in dict_rows(connection, _STRATEGIES)),
        repairs=dict(connection.execute(_REPAIRS).fetchall()),
        reasons=dict(connection.execute(_REASONS).fetchall()),
        models=dict(connection.execute(_MODELS).fetchall()),
        types=tuple(FailureType(**row) for row in dict_rows(connection, _TYPES)),
    )


_OUTCOMES = """
CREATE OR REPLACE TEMP TABLE outcomes AS
SELECT r.*, coalesce(v.accepted, false) AS accepted,
       m.candidate_id IS NOT NULL AS mended,
       r.answers > 0 AND (r.child IS NOT NULL OR r.reason IN ('same_code', 'oscillation'))
           AS answered
FROM refined r
LEFT JOIN (
    SELECT candidate_id, bool_or(accepted) AS accepted FROM votes GROUP BY candidate_id
) v ON v.candidate_id = r.child
LEFT JOIN mended m ON m.candidate_id = r.candidate_id
"""
_USD = "CASE WHEN count(usd) = count(*) THEN coalesce(sum(usd), 0.0) END"
_WHOLE = f"""
SELECT count(*) AS failures, count(child) AS made, count(*) FILTER (accepted) AS accepted,
       coalesce(sum(answers), 0)::BIGINT AS answers,
       coalesce(sum(prompt_tokens), 0)::BIGINT AS prompt_tokens,
       coalesce(sum(cached_tokens), 0)::BIGINT AS cached_tokens,
       coalesce(sum(completion_tokens), 0)::BIGINT AS completion_tokens, {_USD} AS usd
FROM outcomes
"""
_STRATEGIES = f"""
SELECT CASE WHEN how = 'local' THEN 'local' ELSE strategy END AS name, count(*) AS tried,
       count(*) FILTER (accepted) AS accepted, sum(answers)::BIGINT AS answers,
       sum(prompt_tokens + completion_tokens)::BIGINT AS tokens, {_USD} AS usd
FROM outcomes WHERE how <> 'none' GROUP BY name ORDER BY tried DESC, name
"""
_REPAIRS = """
SELECT name, count(*) FROM (SELECT unnest(repairs) AS name FROM outcomes)
GROUP BY name ORDER BY count(*) DESC, name
"""
_REASONS = """
SELECT reason, count(*) FROM outcomes WHERE reason IS NOT NULL
GROUP BY reason ORDER BY count(*) DESC, reason
"""
_MODELS = """
SELECT model, count(*) FROM outcomes WHERE model IS NOT NULL GROUP BY model ORDER BY count(*) DESC
"""
_TYPES = """
SELECT type, count(*) AS failures, count(*) FILTER (mended) AS recovered
FROM outcomes WHERE generation = 0 GROUP BY type
UNION ALL
SELECT * FROM (
    SELECT 'api' AS type, count(*) AS failures, 0 AS recovered
    FROM outcomes WHERE reason IN ('model_busy', 'question_refused')
    UNION ALL
    SELECT 'parsing', coalesce(sum(answers - answered::INTEGER), 0)::BIGINT,
           coalesce(sum(answers - 1) FILTER (answered), 0)::BIGINT
    FROM outcomes WHERE reason IS DISTINCT FROM 'question_refused'
) WHERE failures > 0
ORDER BY failures DESC, type
"""
