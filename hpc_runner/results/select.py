"""One candidate for each task, by what its candidates agree on, without a test to be trusted.

``behaviour``: candidates that do the same on the same inputs are one group; the group with most
samples is taken (semantic clustering: Li et al. 2022, AlphaCode; minimum Bayes risk over
executions: Shi et al. 2022, MBR-EXEC).  What a candidate does is what it printed and, where
there are tests, each one's outcome with its message.  Those that crash, or run out of
something, are no answer and are left out.

``agreement``: the tests are guesses, too, and candidates and tests vouch for each other.
Candidates that pass the same tests are one group, and its score is the number of its samples
times the number of tests that it passes (dual execution agreement: Chen et al. 2022, CodeT).
It needs the outcome of every test: a run with ``--every-test``.

``inputs``: as ``behaviour``, in a run whose programs end with a line that says what their
function makes of each of many inputs (pipeline/behaviours.py).  Inputs for which more than half
of a task's samples raise an exception are hardly meant to be, and are left out; a sample that
raises one for each of them is no answer.

A candidate's first judged execution counts, in the order of rounds and environments: the neutral
one.  Samples that share a candidate count each.  Ties go to the group with the sample that comes
first in the corpus, and of a group the first sample is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from hpc_runner.corpus.inputs import MARK
from hpc_runner.errors import ConfigError
from hpc_runner.results.query import connect, dict_rows, result_files, steady, table_view
from hpc_runner.results.schema import SAMPLES, VOTES
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["METHODS", "Selected", "Selection", "select"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Selected(_Model):
    """What was chosen for a task; ``candidate_id`` is null when no candidate is an answer."""

    task_id: str
    candidate_id: str | None
    """Hex."""
    sample: int | None
    samples: int
    """Of the task."""
    groups: int
    """That its candidates fall into."""
    supporters: int
    """Samples in the chosen group."""
    tests_passed: int | None
    """By the chosen group; null unless chosen by ``agreement``."""
    right: bool | None
    """What the run that knows the truth says of it."""


class Selection(_Model):
    """Of a run."""

    method: str
    tasks: tuple[Selected, ...]
    """In the order of the corpus."""
    pass_at_1: float | None
    """The share of the tasks for which the chosen sample is right; null without a truth."""
    chance_pass_at_1: float | None
    """The same for a sample drawn at random."""
    best_pass_at_1: float | None
    """The same for the best possible choice."""


# What counts for each candidate: one execution.
_FIRST = """
CREATE TEMP TABLE done AS
WITH judged AS (
    SELECT *, row_number() OVER (PARTITION BY candidate_id ORDER BY round, environment) AS place
    FROM results WHERE wave = 0 AND verdict <> 'internal_error'
)
SELECT s.task_id, s.sample, s.row, s.candidate_id,
       coalesce(r.verdict IN ('accepted', 'wrong_answer'), false) AS answers,
       lower(hex(r.stdout_sha256)) AS printed, r.tests AS tests, r.stdout_tail AS tail
FROM samples s LEFT JOIN (FROM judged WHERE place = 1) r USING (candidate_id)
"""
_BEHAVIOUR = """
CREATE TEMP TABLE grouped AS
SELECT *, NULL::INTEGER AS passed, md5(printed || array_to_string(list_transform(
    tests, lambda t: t.name || chr(31) || t.outcome || chr(31) || t.message), chr(30))) AS kind
FROM done
"""
_AGREEMENT = """
CREATE TEMP TABLE grouped AS
SELECT *, len(names)::INTEGER AS passed, md5(array_to_string(names, chr(30))) AS kind
FROM (SELECT *, list_sort(list_transform(
        list_filter(tests, lambda t: t.outcome = 'accepted'), lambda t: t.name)) AS names
      FROM done)
"""
_INPUTS = f"""
CREATE TEMP TABLE grouped AS
WITH shown AS (
    SELECT *, regexp_extract(tail, '\\n{MARK}((?: [!A-Za-z0-9_]+)+)\\n*$', 1) AS line,
           string_split(trim(line), ' ') AS outs
    FROM done
),
each AS (
    SELECT task_id, unnest(outs) AS out, unnest(range(len(outs))) AS place
    FROM shown WHERE answers AND line <> ''
),
odd AS (
    SELECT task_id, list(place) AS places
    FROM (SELECT task_id, place FROM each GROUP BY ALL HAVING avg((out[1] = '!')::INT) > 0.5)
    GROUP BY task_id
)
SELECT s.*, NULL::INTEGER AS passed,
       CASE WHEN line = '' THEN md5(printed || array_to_string(list_transform(
           tests, lambda t: t.name || chr(31) || t.outcome || chr(31) || t.message), chr(30)))
       ELSE md5(array_to_string(list_filter(
           outs, lambda out, n: NOT list_contains(coalesce(places, []), n - 1)), ' ')) END AS kind
FROM (SELECT * REPLACE (answers AND (NOT bool_or(line <> '') OVER (PARTITION BY task_id)
          OR len(list_filter(outs, lambda out: line <> '' AND out[1] <> '!')) > 0) AS answers)
      FROM shown) s LEFT JOIN odd USING (task_id)
"""
METHODS = {"behaviour": _BEHAVIOUR, "agreement": _AGREEMENT, "inputs": _INPUTS}
"""How to choose; each makes ``grouped`` from ``done``."""

_CHOICES = """
WITH groups AS (
    SELECT task_id, kind, count(*) AS supporters, min(row) AS row, any_value(passed) AS passed,
           arg_min(candidate_id, row) AS candidate_id, arg_min(sample, row) AS sample,
           count(*) * coalesce(any_value(passed), 1) AS score
    FROM grouped WHERE answers GROUP BY ALL
),
chosen AS (
    SELECT *, count(*) OVER (PARTITION BY task_id) AS groups
    FROM groups WHERE score > 0
    QUALIFY row_number() OVER (PARTITION BY task_id ORDER BY score DESC, row) = 1
)
SELECT t.task_id, lower(hex(c.candidate_id)) AS candidate_id, c.sample, t.samples,
       coalesce(c.groups, 0) AS groups, coalesce(c.supporters, 0) AS supporters,
       c.passed AS tests_passed, CASE WHEN t.known THEN coalesce(k.accepted, false) END AS right,
       t.share, t.solved
FROM (SELECT d.task_id, count(*) AS samples, min(d.row) AS row, count(accepted) > 0 AS known,
             avg(coalesce(accepted, false)::INT) AS share,
             coalesce(bool_or(accepted), false) AS solved
      FROM done d LEFT JOIN truth USING (task_id, sample) GROUP BY d.task_id) t
LEFT JOIN chosen c USING (task_id)
LEFT JOIN truth k ON k.task_id = c.task_id AND k.sample = c.sample
ORDER BY t.row
"""


def select(
    run: RunDir, method: str = "behaviour", truth: RunDir | None = None, *,
    memory_limit: str = "512MB",
) -> Selection:  # fmt: skip
    """Choose a sample for each task of a run's corpus.

    ``truth``: a run of the same samples whose votes tell which ones are right, matched by task
    and sample; ``run`` itself where its tests can be trusted after all.  Raises ``ConfigError``,
    ``RunError`` for what is no run, ``StorageError``.
    """
    if method not in METHODS:
        raise ConfigError(f"--method: one of {', '.join(METHODS)} (found {method!r})")
    info = read_info(run)
    if method == "agreement" and not info.config.every_test:
        raise ConfigError(
            f"agreement needs the outcome of every test, and {run.root} was run without"
            " --every-test; run the corpus again with it, into another --out"
        )

    def choices() -> list[dict[str, Any]]:
        with connect(run, memory_limit=memory_limit) as connection:
            table_view(connection, "results", result_files(run, [0]))
            table_view(connection, "samples", [run.samples], SAMPLES)
            _truth(connection, truth)
            connection.execute(_FIRST)
            connection.execute(METHODS[method])
            return dict_rows(connection, _CHOICES)

    rows = steady(run, choices)
    known = [row for row in rows if row["right"] is not None]
    return Selection(
        method=method,
        tasks=tuple(
            Selected(**{name: row[name] for name in Selected.model_fields}) for row in rows
        ),
        pass_at_1=_mean([row["right"] for row in known]),
        chance_pass_at_1=_mean([row["share"] for row in known]),
        best_pass_at_1=_mean([row["solved"] for row in known]),
    )


def _truth(connection: DuckDBPyConnection, truth: RunDir | None) -> None:
    if truth is not None:
        read_info(truth)
    files = [] if truth is None else [truth.votes]
    samples = [] if truth is None else [truth.samples]
    table_view(connection, "true_votes", [path for path in files if path.exists()], VOTES)
    table_view(connection, "true_samples", samples, SAMPLES)
    connection.execute(
        "CREATE TEMP TABLE truth AS SELECT s.task_id, s.sample, v.accepted"
        " FROM true_samples s JOIN (FROM true_votes WHERE wave = 0) v USING (candidate_id)"
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
