"""The summary of a run, computed from its files."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from hpc_runner.results.breakdown import Part, break_down
from hpc_runner.results.candidates import shard_sizes
from hpc_runner.results.environments import EnvironmentCounts, count_environments
from hpc_runner.results.ledger import ledger_warnings
from hpc_runner.results.lineage import accepted_after_refinement
from hpc_runner.results.query import connect, dict_rows, result_files, table_view
from hpc_runner.results.refinements import Refinement, summarise_refinement
from hpc_runner.results.schema import REJECTED, SAMPLES, VOTES
from hpc_runner.results.statistics import interval, pass_at
from hpc_runner.results.vote import TIE_ORDER
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "UNJUDGED",
    "EnvironmentCounts",
    "ErrorSignature",
    "FlakyCandidate",
    "Summary",
    "summarise",
]

UNJUDGED = "unjudged"
"""Stands among the verdicts for what has none."""

_LISTED = 20
_ERRORS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorSignature(_Model):
    """An error that candidates failed with."""

    error_type: str
    error_message: str
    candidates: int
    task_id: str
    """One of the tasks where it occurred: the first in the order of the corpus."""


class Suspicion(_Model):
    """A sign of tampering."""

    sign: str
    candidates: int
    accepted: int
    """Of these candidates, so many are accepted all the same."""
    task_id: str
    """One of the tasks where it was seen."""


class FlakyCandidate(_Model):
    """A candidate whose judged executions disagree."""

    candidate_id: str
    """Hex."""
    task_id: str
    wave: int
    verdict: str
    agreement: float
    cause: str | None
    """What explains it: the environment, or a dimension of the perturbation."""
    verdicts: dict[str, int]
    """How often each occurred, internal errors and extra executions included."""
    environments: dict[str, dict[str, int]]
    """The same for each environment."""


class Summary(_Model):
    """A run in numbers.  What counts samples and what counts candidates is said at each field."""

    run_id: str
    corpus: tuple[str, ...]
    format: str
    environments: tuple[EnvironmentCounts, ...]
    """In the order in which they were asked for."""
    runtime: str
    isolation: tuple[str, ...]
    """Levels that executions really had."""
    rounds: int
    consensus_threshold: float
    complete: bool
    """Every shard of every wave is finished and every candidate was voted on."""

    samples: int
    candidates: int
    """Distinct programs of the corpus."""
    cached: int
    """Of them, known to the result cache before the run."""
    duplicates: int
    """Samples that share the candidate of an earlier one."""
    rejected: int
    """Rows of the corpus that could not be used."""
    rejected_reasons: dict[str, int]
    """The 20 most frequent."""
    tasks: int
    tasks_solved: int
    """Tasks with at least one accepted candidate, of any wave."""

    executions: int
    executions_saved: int
    """Left out of finished shards because they could not have changed an outcome."""
    extra_executions: int
    """Made to find out why candidates disagree with themselves; not counted in the vote."""
    judges: dict[str, int]
    """Executions by how they were judged."""
    suspicious: int
    """Candidates with at least one suspicious execution."""

    verdicts: dict[str, int]
    """Samples by the verdict of their vote; ``unjudged`` for those without."""
    candidate_verdicts: dict[str, int]
    """The same, counted in candidates, of all waves."""
    accepted: int
    """Samples whose candidate is accepted: by majority and with consensus."""
    accepted_candidates: int
    no_consensus: int
    """Candidates with a verdict but without consensus."""
    flaky: int
    """Candidates whose judged executions disagree."""
    unjudged: int
    """Candidates without any judged execution."""
    reliability: dict[str, int]
    """Candidates by their class (docs/votes.md)."""
    causes: dict[str, int]
    """Candidates that disagree with themselves, by what explains it."""
    environments_compared: int
    """Candidates that were judged in two environments or more."""
    environments_agree: int
    """Of them, those whose environments have the same verdict."""
    environment_agreement: float | None
    """The share of the latter; null where nothing could be compared."""
    pass_at: dict[int, float]
    """pass@k of the corpus' samples, for each k that every task has enough samples for."""
    pass_at_interval: dict[int, tuple[float, float]]
    """95 % bootstrap intervals over tasks."""
    parts: tuple[Part, ...]
    """The same for each source, language and environment, where there are several."""
    waves: int = 1
    accepted_after_refinement: int = 0
    """Samples that aren't accepted as they came, but something that was made of them is.
    They are not among ``accepted``, ``verdicts`` and ``pass_at``."""
    refinement: Refinement | None = None
    """What it took; null where nothing was refined."""

    started_at: datetime | None
    ended_at: datetime | None
    wall_s: float
    """From the first start of an execution to the last end, pauses of the run included."""
    execution_wall_s: float
    """Sum over executions."""
    cpu_s: float
    """Sum over executions."""
    executions_per_s: float | None
    hosts: int

    errors: tuple[ErrorSignature, ...] = Field(max_length=_ERRORS)
    """The most frequent ones of candidates that failed."""
    suspicions: tuple[Suspicion, ...] = Field(max_length=_LISTED)
    """The most frequent signs of tampering."""
    flaky_candidates: tuple[FlakyCandidate, ...] = Field(max_length=_LISTED)
    """The first ones in the order of the corpus."""
    warnings: tuple[str, ...] = ()
    """What went wrong on the way: nodes and candidates that were given up."""
    paths: dict[str, str]
    """Where the results lie."""


def summarise(run: RunDir, *, memory_limit: str = "512MB") -> Summary:
    """Compute the summary from disk; works at any time, on whatever is finished then.

    Before the vote nothing has a verdict, and all is counted as unjudged.
    Raises ``RunError`` for what is no run, ``StorageError`` for damaged files.
    """
    info = read_info(run)
    waves = run.waves()
    with connect(run, memory_limit=memory_limit) as connection:
        table_view(connection, "results", result_files(run, waves))
        for name, path, schema in (
            ("votes", run.votes, VOTES),
            ("samples", run.samples, SAMPLES),
            ("rejected", run.rejected, REJECTED),
        ):
            table_view(connection, name, [path] if path.exists() else [], schema)
        planned, unfinished, in_waves = _planned(run, waves, info.executions_per_candidate)
        known = in_waves + info.cached
        executions = _executions(connection, info.config.rounds)
        saved = planned - executions["executions"] + executions["extra_executions"]
        saved -= executions.pop("never") * info.config.rounds
        voted = _row(connection, _VOTED)
        classes = connection.execute(_CORRECT).fetchall()
        compared, agree = voted["environments_compared"], voted["environments_agree"]
        return Summary(
            run_id=info.run_id,
            corpus=info.config.corpus,
            format=info.format,
            runtime=info.runtime,
            rounds=info.config.rounds,
            consensus_threshold=info.config.consensus_threshold,
            complete=bool(waves) and not unfinished and voted.pop("voted") == known,
            candidates=info.candidates,
            cached=info.cached,
            duplicates=info.duplicates,
            rejected=info.rejected,
            rejected_reasons=dict(connection.execute(_REJECTED).fetchall()),
            executions_saved=max(0, saved),
            environments=count_environments(connection, info),
            environment_agreement=agree / compared if compared else None,
            judges=dict(connection.execute(_JUDGES).fetchall()),
            reliability=dict(connection.execute(_RELIABILITY).fetchall()),
            causes=dict(connection.execute(_CAUSES).fetchall()),
            verdicts=_ordered(connection.execute(_VERDICTS).fetchall()),
            candidate_verdicts=_ordered(connection.execute(_CANDIDATE_VERDICTS).fetchall()),
            pass_at=pass_at(classes),
            pass_at_interval={k: interval(classes, k) for k in pass_at(classes)},
            parts=break_down(connection, run, info),
            errors=tuple(ErrorSignature(**row) for row in dict_rows(connection, _ERROR_SIGNATURES)),
            suspicions=tuple(Suspicion(**row) for row in dict_rows(connection, _SUSPICIONS)),
            flaky_candidates=_flaky(connection),
            waves=len(waves),
            accepted_after_refinement=accepted_after_refinement(connection, run, waves),
            refinement=summarise_refinement(connection),
            warnings=ledger_warnings(run, waves),
            paths=_paths(run),
            **_row(connection, _SAMPLES),
            **executions,
            **{name: count for name, count in voted.items() if name != "voted"},
        )


def _planned(run: RunDir, waves: list[int], each: int) -> tuple[int, int, int]:
    """Executions that finished shards had at most, shards not finished, candidates.

    ``each``: executions of a candidate, at most."""
    planned = unfinished = candidates = 0
    for wave in waves:
        finished = run.finished_shards(wave)
        sizes = shard_sizes(run, wave)
        planned += each * sum(size for shard, size in enumerate(sizes) if shard in finished)
        unfinished += sum(shard not in finished for shard in range(len(sizes)))
        candidates += sum(sizes)
    return planned, unfinished, candidates


_EXECUTIONS = """
SELECT count(*) FILTER (isolation <> 'none') AS executions,
       count(*) FILTER (isolation = 'none') AS never,
       count(*) FILTER (isolation <> 'none' AND round >= $rounds) AS extra_executions,
       coalesce(list(DISTINCT isolation ORDER BY isolation) FILTER (isolation <> 'none'), [])
           AS isolation,
       count(DISTINCT candidate_id) FILTER (len(suspicion) > 0) AS suspicious,
       min(epoch_us(started_at)) AS started_us,
       max(epoch_us(started_at) + round(wall_s * 1e6)::BIGINT) AS ended_us,
       coalesce(sum(wall_s), 0.0) AS execution_wall_s,
       coalesce(sum(cpu_s), 0.0) AS cpu_s,
       count(DISTINCT host) AS hosts
FROM results
"""
_JUDGES = "SELECT judge, count(*) FROM results GROUP BY judge ORDER BY count(*) DESC, judge"
_RELIABILITY = (
    "SELECT reliability, count(*) FROM votes GROUP BY ALL ORDER BY count(*) DESC, reliability"
)
_CAUSES = """
SELECT cause, count(*) FROM votes WHERE cause IS NOT NULL GROUP BY ALL ORDER BY count(*) DESC, cause
"""
_SUSPICIONS = f"""
WITH signs AS (
    SELECT DISTINCT candidate_id, task_id, unnest(suspicion) AS sign FROM results
)
SELECT sign, count(*) AS candidates, count(*) FILTER (v.accepted) AS accepted,
       min(signs.task_id) AS task_id
FROM signs LEFT JOIN votes v USING (candidate_id)
GROUP BY sign ORDER BY candidates DESC, sign LIMIT {_LISTED}
"""
_REJECTED = f"""
SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY count(*) DESC, reason
LIMIT {_LISTED}
"""
_SAMPLES = """
SELECT count(*) AS samples, count(DISTINCT s.task_id) AS tasks,
       count(*) FILTER (v.accepted) AS accepted,
       (SELECT count(DISTINCT task_id) FROM votes WHERE accepted) AS tasks_solved
FROM samples s LEFT JOIN (FROM votes WHERE wave = 0) v USING (candidate_id)
"""
_VOTED = """
SELECT count(*) AS voted,
       count(*) FILTER (accepted) AS accepted_candidates,
       count(*) FILTER (verdict IS NOT NULL AND NOT consensus) AS no_consensus,
       count(*) FILTER (flaky) AS flaky,
       count(*) FILTER (verdict IS NULL) AS unjudged,
       count(environments_agree) AS environments_compared,
       count(*) FILTER (environments_agree) AS environments_agree
FROM votes
"""
_VERDICTS = f"""
SELECT coalesce(v.verdict, '{UNJUDGED}') AS verdict, count(*)
FROM samples s LEFT JOIN (FROM votes WHERE wave = 0) v USING (candidate_id) GROUP BY ALL
"""
_CANDIDATE_VERDICTS = f"""
SELECT coalesce(verdict, '{UNJUDGED}') AS verdict, count(*) FROM votes GROUP BY ALL
"""
_CORRECT = """
WITH by_task AS (
    SELECT s.task_id, count(*) AS n, count(*) FILTER (v.accepted) AS c
    FROM samples s LEFT JOIN (FROM votes WHERE wave = 0) v USING (candidate_id)
    GROUP BY s.task_id
)
SELECT n, c, count(*) FROM by_task GROUP BY n, c ORDER BY n, c
"""
_ERROR_SIGNATURES = f"""
SELECT error_type, coalesce(error_message, '') AS error_message, count(*) AS candidates,
       arg_min(task_id, file_row_number) AS task_id
FROM votes WHERE error_type IS NOT NULL AND verdict <> 'accepted'
GROUP BY error_type, coalesce(error_message, '')
ORDER BY candidates DESC, error_type, error_message LIMIT {_ERRORS}
"""
_FLAKY = f"""
WITH flaky AS (
    SELECT *, file_row_number AS position FROM votes WHERE flaky
    ORDER BY position LIMIT {_LISTED}
)
SELECT f.position, lower(hex(f.candidate_id)) AS candidate_id, f.task_id, f.wave,
       f.verdict, f.agreement, f.cause, r.environment AS place, r.verdict AS found, count(*) AS n
FROM flaky f JOIN results r ON r.candidate_id = f.candidate_id AND r.wave = f.wave
GROUP BY ALL ORDER BY f.position, place, found
"""


def _executions(connection: DuckDBPyConnection, rounds: int) -> dict[str, Any]:
    row = dict_rows(connection, _EXECUTIONS, {"rounds": rounds})[0]
    started, ended = row.pop("started_us"), row.pop("ended_us")
    wall_s = (ended - started) / 1e6 if started is not None else 0.0
    return {
        **row,
        "started_at": None if started is None else _EPOCH + timedelta(microseconds=started),
        "ended_at": None if ended is None else _EPOCH + timedelta(microseconds=ended),
        "wall_s": wall_s,
        "executions_per_s": row["executions"] / wall_s if wall_s > 0 else None,
    }


def _flaky(connection: DuckDBPyConnection) -> tuple[FlakyCandidate, ...]:
    candidates: dict[int, dict[str, Any]] = {}
    counts: dict[int, dict[str, Counter[str]]] = {}
    for row in dict_rows(connection, _FLAKY):
        position, place, found, count = (
            row.pop(key) for key in ("position", "place", "found", "n")
        )
        candidates[position] = row
        counts.setdefault(position, {}).setdefault(place, Counter())[found] += count
    return tuple(
        FlakyCandidate(
            **candidate,
            verdicts=dict(sum(counts[position].values(), Counter()).most_common()),
            environments={name: dict(c.most_common()) for name, c in counts[position].items()},
        )
        for position, candidate in candidates.items()
    )


def _ordered(counts: list[tuple[str, int]]) -> dict[str, int]:
    """Accepted first, then the other verdicts in their fixed order, then unjudged."""
    found = dict(counts)
    names = [*(verdict.value for verdict in reversed(TIE_ORDER)), UNJUDGED]
    return {name: found[name] for name in names if name in found}


def _paths(run: RunDir) -> dict[str, str]:
    paths = {
        "results": run.results(0).parent.parent / "*" / run.results(0).name / "**" / "*.parquet",
        "votes": run.votes,
        "samples": run.samples,
        "rejected": run.rejected,
    }
    return {name: str(path) for name, path in paths.items()}


def _row(connection: DuckDBPyConnection, query: str) -> dict[str, Any]:
    return dict_rows(connection, query)[0]
