"""What a wave's repairs came to, for the store of patterns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hpc_runner.refine.prompt import unified
from hpc_runner.results.candidates import pieces
from hpc_runner.results.query import candidate_files, connect, dict_rows, table_view
from hpc_runner.results.schema import CANDIDATES, REFINED, VOTES
from hpc_runner.rundir import RunDir

__all__ = ["outcomes"]


def outcomes(run: RunDir, wave: int, run_id: str) -> list[dict[str, Any]]:
    """Rows of ``patterns.PATTERNS``: the repairs by a model that made a wave, which was voted on.

    An answer that was of no use says nothing of a strategy and is left out.  Raises
    ``StorageError``.
    """
    if wave < 1 or not run.refined(wave).exists():
        return []
    now = datetime.now(UTC)
    files = [path for n in run.waves() if n for path in pieces(run.candidates(n))]
    with connect(run) as connection:
        table_view(connection, "refined", [run.refined(wave)], REFINED)
        table_view(connection, "votes", [run.votes], VOTES)
        table_view(connection, "programs", [*candidate_files(run), *files], CANDIDATES)
        found = dict_rows(connection, _QUERY)
    return [_row(row, run_id, now) for row in found]


def _row(row: dict[str, Any], run_id: str, now: datetime) -> dict[str, Any]:
    before, after = row.pop("before"), row.pop("after")
    diff = unified(before, after) if row["accepted"] and after is not None else None
    return {**row, "run_id": run_id, "created_at": now, "diff": diff}


_QUERY = """
SELECT r.candidate_id, c.language || ' ' || v.verdict || ' ' || coalesce(v.error_type, '-')
           AS error_class,
       r.signature, r.strategy, r.model, coalesce(o.accepted, false) AS accepted, r.usd,
       c.code AS before, n.code AS after
FROM refined r
JOIN programs c ON c.candidate_id = r.candidate_id
JOIN votes v ON v.candidate_id = r.candidate_id
LEFT JOIN votes o ON o.candidate_id = r.child
LEFT JOIN programs n ON n.candidate_id = r.child
WHERE r.how = 'model' AND r.strategy IS NOT NULL
      AND (r.child IS NOT NULL OR r.reason IN ('same_code', 'oscillation'))
QUALIFY row_number() OVER (PARTITION BY r.candidate_id) = 1
"""
