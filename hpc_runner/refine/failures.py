"""What is there to refine: the failed candidates of a wave, with all that is known of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_runner.config import RefineConfig
from hpc_runner.model import Candidate, Limits, tests_adapter
from hpc_runner.results.candidates import pieces
from hpc_runner.results.query import candidate_files, connect, dict_rows, result_files, table_view
from hpc_runner.results.schema import CANDIDATES, VOTES
from hpc_runner.rundir import RunDir

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

__all__ = ["Earlier", "FailedTest", "Failure", "Failures", "failures"]

BATCH = 2000
"""Failures in memory at a time."""


@dataclass(frozen=True)
class FailedTest:
    name: str
    outcome: str
    message: str


@dataclass(frozen=True)
class Earlier:
    """An ancestor of a failed candidate."""

    candidate_id: bytes
    code: str
    verdict: str
    error_type: str | None
    error_message: str | None


@dataclass(frozen=True)
class Failure:
    """A candidate that isn't accepted.  What it printed comes from one execution that ended as
    the vote did; there is none for what only the result cache knows."""

    candidate_id: bytes
    row: int
    candidate: Candidate
    verdict: str
    flaky: bool
    cause: str | None
    error_type: str | None
    error_message: str | None
    tests: tuple[FailedTest, ...] = ()
    stdout: str = ""
    stderr: str = ""
    history: tuple[Earlier, ...] = ()
    """The first ancestor first."""


class Failures:
    """Those of one wave, ordered: tasks that nothing solves first, then as in the corpus."""

    def __init__(self, connection: DuckDBPyConnection, run: RunDir, wave: int) -> None:
        self._connection = connection
        self._run = run
        self._wave = wave
        (count,) = connection.execute("SELECT count(*) FROM failing").fetchall()[0]
        self.count = int(count)

    def batches(self) -> Iterator[list[Failure]]:
        """All of them.  Raises ``StorageError``."""
        for first in range(0, self.count, BATCH):
            span = {"first": first, "end": first + BATCH}
            found = dict_rows(self._connection, _DETAILS, span)
            histories = self._histories(span)
            yield [_failure(row, histories.get(row["candidate_id"], ())) for row in found]

    def mean_chars(self) -> float:
        """Of a program and its tests; 0 where nothing has failed."""
        (found,) = self._connection.execute(_CHARS).fetchall()[0]
        return float(found)

    def known(self, candidate_ids: list[bytes]) -> set[bytes]:
        """Which of these are candidates of the run already."""
        query = "SELECT candidate_id FROM programs WHERE list_contains($ids, candidate_id)"
        rows = self._connection.execute(query, {"ids": candidate_ids}).fetchall()
        return {bytes(row[0]) for row in rows}

    def _histories(self, span: dict[str, int]) -> dict[bytes, tuple[Earlier, ...]]:
        if not self._wave:
            return {}
        found: dict[bytes, list[Earlier]] = {}
        for row in dict_rows(self._connection, _HISTORIES, span):
            descendant = bytes(row.pop("descendant"))
            row["candidate_id"] = bytes(row["candidate_id"])
            found.setdefault(descendant, []).append(Earlier(**row))
        return {identity: tuple(earlier) for identity, earlier in found.items()}


@contextmanager
def failures(
    run: RunDir, wave: int, config: RefineConfig, votes: pa.Table | None = None
) -> Iterator[Failures]:
    """Look at the failures of a wave, for the length of the block.

    ``votes``: those of the wave, where they aren't in ``votes.parquet`` yet.  Raises
    ``StorageError``.
    """
    with connect(run) as connection:
        table_view(connection, "voted", [run.votes] if run.votes.exists() else [], VOTES)
        if votes is None:
            connection.execute("CREATE VIEW votes AS SELECT * EXCLUDE file_row_number FROM voted")
        else:
            connection.register("new_votes", votes)
            connection.execute(
                "CREATE VIEW votes AS SELECT * EXCLUDE file_row_number FROM voted WHERE wave < "
                f"{wave} UNION ALL BY NAME FROM new_votes"
            )
        table_view(connection, "candidates", candidate_files(run, wave), CANDIDATES)
        everything = [path for n in run.waves() for path in pieces(run.candidates(n))]
        known = pieces(run.cached_candidates) if run.cached_candidates.exists() else []
        table_view(connection, "programs", [*everything, *known], CANDIDATES)
        table_view(connection, "results", result_files(run, [wave]))
        rules = {
            "wave": wave,
            "unsolved": config.mode == "unsolved",
            "violations": config.violations,
        }
        connection.execute(_FAILING, rules)
        yield Failures(connection, run, wave)


_FAILING = """
CREATE TEMP TABLE failing AS
WITH solved AS (SELECT DISTINCT task_id FROM votes WHERE accepted)
SELECT v.candidate_id, v.verdict, v.flaky, v.cause, v.error_type, v.error_message,
       row_number() OVER (ORDER BY (s.task_id IS NOT NULL), c.row, v.candidate_id) - 1 AS place
FROM votes v JOIN candidates c USING (candidate_id)
LEFT JOIN solved s ON s.task_id = v.task_id
WHERE v.wave = $wave AND NOT v.accepted AND v.verdict IS NOT NULL
      AND ($violations OR v.verdict <> 'policy_violation')
      AND NOT ($unsolved AND s.task_id IS NOT NULL)
"""
_CHARS = """
SELECT coalesce(avg(length(code) + least(length(tests), 6000)), 0)
FROM failing JOIN candidates USING (candidate_id)
"""
_DETAILS = """
WITH chosen AS (FROM failing WHERE place >= $first AND place < $end),
seen AS (
    SELECT r.candidate_id, arg_min(
        {'tests': r.tests, 'stdout': r.stdout_tail, 'stderr': r.stderr_tail},
        {'other': r.error_type IS DISTINCT FROM f.error_type, 'round': r.round,
         'environment': r.environment}
    ) AS found
    FROM results r JOIN chosen f ON f.candidate_id = r.candidate_id AND f.verdict = r.verdict
    GROUP BY r.candidate_id
)
SELECT f.*, c.row, c.task_id, c.language, c.code, c.tests AS judged_by, c.limits, c.dependencies,
       c.env, c.generation, c.parent, c.description, found.tests AS tests, found.stdout AS stdout,
       found.stderr AS stderr
FROM chosen f JOIN candidates c USING (candidate_id) LEFT JOIN seen USING (candidate_id)
ORDER BY f.place
"""
_HISTORIES = """
WITH RECURSIVE line AS (
    SELECT f.candidate_id AS descendant, c.parent AS candidate_id, 1 AS distance
    FROM failing f JOIN candidates c USING (candidate_id)
    WHERE f.place >= $first AND f.place < $end AND c.parent IS NOT NULL
    UNION ALL
    SELECT l.descendant, p.parent, l.distance + 1
    FROM line l JOIN programs p USING (candidate_id) WHERE p.parent IS NOT NULL
)
SELECT l.descendant, l.candidate_id, any_value(p.code) AS code,
       coalesce(any_value(v.verdict), 'unjudged') AS verdict,
       any_value(v.error_type) AS error_type, any_value(v.error_message) AS error_message
FROM line l JOIN programs p USING (candidate_id) LEFT JOIN votes v USING (candidate_id)
GROUP BY l.descendant, l.candidate_id, l.distance ORDER BY l.descendant, l.distance DESC
"""


def _failure(row: dict[str, Any], history: tuple[Earlier, ...]) -> Failure:
    candidate = Candidate(
        task_id=row["task_id"],
        code=row["code"],
        tests=tests_adapter.validate_python(json.loads(row["judged_by"])),
        language=row["language"],
        limits=Limits.model_validate(json.loads(row["limits"])),
        dependencies=tuple(row["dependencies"]),
        env=json.loads(row["env"]),
        generation=row["generation"],
        description=row["description"] or "",
        parent=None if row["parent"] is None else bytes(row["parent"]),
    )
    tests = tuple(
        FailedTest(test["name"], test["outcome"], test["message"])
        for test in row["tests"] or ()
        if test["outcome"] not in ("accepted", "not_run")
    )
    return Failure(
        candidate_id=bytes(row["candidate_id"]),
        row=row["row"],
        candidate=candidate,
        verdict=row["verdict"],
        flaky=row["flaky"],
        cause=row["cause"],
        error_type=row["error_type"],
        error_message=row["error_message"],
        tests=tests,
        stdout=row["stdout"] or "",
        stderr=row["stderr"] or "",
        history=history,
    )
