"""What changed between two runs of a corpus."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from hpc_runner.errors import RunError
from hpc_runner.results.query import database, dict_rows, table_view
from hpc_runner.results.schema import SAMPLES, VOTES
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

__all__ = ["Change", "Difference", "compare"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Model):
    """One candidate; what is null isn't in that run."""

    task_id: str
    sample: int
    """Of the newer run, if it is there; the first one of its candidate."""
    candidate_before: str | None
    """Hex."""
    candidate_after: str | None
    before: str | None
    """The verdict, ``unjudged``, or ``accepted without consensus``."""
    after: str | None


class Difference(_Model):
    """Between the votes of two runs on the programs of their corpora."""

    before: str
    """Directory of the older run."""
    after: str
    candidates: int
    """That both have."""
    same: int
    """Of them, those that came out alike."""
    new_failures: tuple[Change, ...]
    """Accepted before, not any more."""
    fixed: tuple[Change, ...]
    """Accepted now, not before."""
    changed: tuple[Change, ...]
    """Not accepted before or now, but for another reason."""
    now_flaky: tuple[Change, ...]
    """Executions agreed before, and disagree now."""
    no_longer_flaky: tuple[Change, ...]
    added: tuple[Change, ...]
    removed: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Something that was right before is not, or not reliably, any more."""
        return bool(self.new_failures or self.now_flaky)


# A candidate of a run stands for all samples that share it.
_STATES = """
CREATE TEMP TABLE {name} AS
SELECT s.candidate_id, any_value(s.task_id ORDER BY s.row) AS task_id,
       any_value(s.sample ORDER BY s.row) AS sample, min(s.row) AS row,
       coalesce(bool_or(v.accepted), false) AS accepted, coalesce(bool_or(v.flaky), false) AS flaky,
       CASE WHEN any_value(v.verdict) IS NULL THEN 'unjudged'
            WHEN any_value(v.verdict) = 'accepted' AND NOT bool_or(v.accepted)
            THEN 'accepted without consensus' ELSE any_value(v.verdict) END AS state
FROM {name}_samples s LEFT JOIN (FROM {name}_votes WHERE wave = 0) v USING (candidate_id)
GROUP BY s.candidate_id
"""
_PAIRS = """
WITH same_program AS (
    SELECT b, a FROM before b JOIN after a USING (candidate_id)
),
same_place AS (
    SELECT b, a
    FROM (FROM before ANTI JOIN after USING (candidate_id)) b
    FULL JOIN (FROM after ANTI JOIN before USING (candidate_id)) a
    ON b.task_id = a.task_id AND b.sample = a.sample
),
pairs AS (
    FROM same_program UNION ALL FROM same_place
)
SELECT coalesce(a.task_id, b.task_id) AS task_id, coalesce(a.sample, b.sample) AS sample,
       lower(hex(b.candidate_id)) AS candidate_before,
       lower(hex(a.candidate_id)) AS candidate_after,
       b.state AS before, a.state AS after, b.accepted AS was_accepted, a.accepted AS is_accepted,
       b.flaky AS was_flaky, a.flaky AS is_flaky
FROM pairs ORDER BY a.row NULLS LAST, b.row
"""
_INTERESTING = """
SELECT * FROM ({pairs}) WHERE was_accepted IS NULL OR is_accepted IS NULL
   OR was_accepted <> is_accepted OR before <> after OR was_flaky <> is_flaky
"""


def compare(before: RunDir, after: RunDir, *, memory_limit: str = "512MB") -> Difference:
    """By the votes of wave 0: what the corpus's programs came to as they are.

    Candidates are matched by their id; those left over by task and sample.  Raises
    ``RunError`` for what is no run, or hasn't voted yet; ``StorageError``.
    """
    for run in (before, after):
        read_info(run)
        if not run.votes.exists():
            raise RunError(
                f"{run.root} has no votes yet; `hpc-runner resume {run.root}` goes on with it"
            )
    scratch = Path(tempfile.mkdtemp(prefix="hpc-runner-diff-"))
    try:
        where = f"{before.root} and {after.root}"
        mend = "`hpc-runner resume` votes again when votes.parquet was removed"
        with database(scratch, Path(where), mend, memory_limit=memory_limit) as connection:
            for name, run in (("before", before), ("after", after)):
                table_view(connection, f"{name}_samples", [run.samples], SAMPLES)
                table_view(connection, f"{name}_votes", [run.votes], VOTES)
                connection.execute(_STATES.format(name=name))
            rows = dict_rows(connection, _INTERESTING.format(pairs=_PAIRS))
            [[common]] = connection.execute(
                f"SELECT count(*) FROM ({_PAIRS}) WHERE before IS NOT NULL AND after IS NOT NULL"
            ).fetchall()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _sorted(before, after, common, rows)


def _sorted(before: RunDir, after: RunDir, common: int, rows: list[dict[str, Any]]) -> Difference:
    kinds = ("new_failures", "fixed", "changed", "now_flaky", "no_longer_flaky", "added", "removed")
    found: dict[str, list[Change]] = {kind: [] for kind in kinds}
    differing = 0
    for row in rows:
        change = Change(**{name: row[name] for name in Change.model_fields})
        if row["before"] is None or row["after"] is None:
            found["added" if row["before"] is None else "removed"].append(change)
            continue
        differing += 1
        if row["was_accepted"] != row["is_accepted"]:
            found["fixed" if row["is_accepted"] else "new_failures"].append(change)
        elif row["before"] != row["after"]:
            found["changed"].append(change)
        if row["was_flaky"] != row["is_flaky"]:
            found["now_flaky" if row["is_flaky"] else "no_longer_flaky"].append(change)
    return Difference(
        before=str(before.root),
        after=str(after.root),
        candidates=common,
        same=common - differing,
        **{kind: tuple(changes) for kind, changes in found.items()},
    )
