"""One execution of a run, done again: the same candidate, round and environment.

What is the same: code, tests, limits, variables, dependencies, image or interpreter, the
judge, and what the round perturbed.  What can't be: the node and its load, the time of day,
and whatever a program draws at random.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hpc_runner.errors import ConfigError, RuntimeFailure
from hpc_runner.model import Candidate, Verdict
from hpc_runner.results.candidates import read_checked, read_shard
from hpc_runner.results.query import connect, result_files, steady, table_view
from hpc_runner.results.store import ResultRow
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, RunInfo, read_info
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.dependencies import read_sets
from hpc_runner.sandbox.environments import pinned_image
from hpc_runner.sandbox.perturbation import from_text
from hpc_runner.sandbox.preparation import Preparation
from hpc_runner.sandbox.rows import result_row, weigh
from hpc_runner.sandbox.shardwork import longest_s
from hpc_runner.sandbox.starter import agent_starter

__all__ = ["Replay", "Wanted", "replay"]

_HEX = re.compile(r"[0-9a-f]{4,64}")
_SHOWN = 8
_WAIT_S = 60.0


@dataclass(frozen=True)
class Wanted:
    """Which execution.  ``candidate``: the start of an id in hexadecimal digits, four at least,
    or a task's id; ``sample``: which one of the task's, from 0."""

    candidate: str
    round: int
    environment: str | None = None
    sample: int | None = None


@dataclass(frozen=True)
class Replay:
    """What came of it."""

    candidate: Candidate
    recorded: ResultRow
    row: ResultRow
    """As ``recorded``, of now."""
    outputs: list[list[str]]
    """[stdout, stderr] of each run of the program, whole as far as the limit goes."""

    @property
    def same(self) -> bool:
        return bool(self.recorded["verdict"] == self.row["verdict"])


def replay(run: RunDir, wanted: Wanted) -> Replay:
    """Do an execution of ``run`` again; nothing in the run's directory changes.

    Raises ``ConfigError`` when there is no such execution, or more than one, ``RunError``,
    ``StorageError`` and ``RuntimeFailure``.
    """
    info = read_info(run)
    recorded = steady(run, lambda: _recorded(run, wanted))
    if recorded["perturbation"] is None:
        raise ConfigError(
            f"{_short(recorded)} was not run: {recorded['verdict']}"
            f" ({recorded['error_type']}: {recorded['error_message']})"
        )
    environment = next(e for e in info.environments if e.name == recorded["environment"])
    return _again(run, info, environment, recorded)


# ------------------------------------------------------------------- which execution


def _recorded(run: RunDir, wanted: Wanted) -> ResultRow:
    """The row of the execution.  Of candidates that were run in several waves, the last one's."""
    with connect(run) as database:
        table_view(database, "results", result_files(run, run.waves()))
        chosen = _candidate(run, database, wanted)
        rows: pa.Table = database.sql(
            "SELECT * EXCLUDE (file_row_number) FROM results WHERE candidate_id = $1"
            " ORDER BY wave DESC, round, environment",
            params=[chosen],
        ).to_arrow_table()
    found: list[ResultRow] = rows.to_pylist()
    if not found:
        raise ConfigError(
            f"no execution of {wanted.candidate} is in the finished shards of {run.root}: it is"
            " still to be run, or its vote came from the cache"
        )
    found = [row for row in found if row["wave"] == found[0]["wave"]]
    rounds = [row for row in found if row["round"] == wanted.round]
    if not rounds:
        known = ", ".join(str(n) for n in sorted({row["round"] for row in found}))
        raise ConfigError(f"--round: {_short(found[0])} has rounds {known} (found {wanted.round})")
    names = [row["environment"] for row in rounds]
    if wanted.environment is None and len(names) == 1:
        return rounds[0]
    for row in rounds:
        if row["environment"] == wanted.environment:
            return row
    raise ConfigError(
        f"--environment: round {wanted.round} of {_short(found[0])} was run in"
        f" {', '.join(names)} (found {wanted.environment or 'none'})"
    )


def _candidate(run: RunDir, database: Any, wanted: Wanted) -> bytes:
    """The id of the one candidate that is meant."""
    found: list[tuple[bytes, str, int]] = []
    if _HEX.fullmatch(wanted.candidate.lower()) and wanted.sample is None:
        found = database.execute(
            "SELECT DISTINCT candidate_id, task_id, 0 FROM results"
            " WHERE starts_with(lower(hex(candidate_id)), $1) ORDER BY ALL",
            [wanted.candidate.lower()],
        ).fetchall()
    if not found:
        table_view(database, "samples", [run.samples])
        found = database.execute(
            "SELECT candidate_id, task_id, sample FROM samples WHERE task_id = $1 ORDER BY sample",
            [wanted.candidate],
        ).fetchall()
        if wanted.sample is not None:
            found = _of_sample(found, wanted)
    if not found:
        raise ConfigError(
            f"no candidate of {run.root} has an id that begins with, or a task called,"
            f" {wanted.candidate!r}"
        )
    if len({candidate_id for candidate_id, _, _ in found}) > 1:
        some = "; ".join(
            f"{candidate_id.hex()[:12]} ({task_id}, sample {sample})"
            for candidate_id, task_id, sample in found[:_SHOWN]
        )
        more = f"; {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"{wanted.candidate!r} means several candidates, give --sample or the start of an id:"
            f" {some}{more}"
        )
    return bytes(found[0][0])


def _of_sample(found: list[tuple[bytes, str, int]], wanted: Wanted) -> list[tuple[bytes, str, int]]:
    chosen = [row for row in found if row[2] == wanted.sample]
    if found and not chosen:
        raise ConfigError(
            f"--sample: {wanted.candidate} has samples 0 to {found[-1][2]} (found {wanted.sample})"
        )
    return chosen


def _short(row: ResultRow) -> str:
    return f"{row['candidate_id'].hex()[:12]} of {row['task_id']}"


# ------------------------------------------------------------------------------ again


def _again(run: RunDir, info: RunInfo, environment: EnvironmentInfo, recorded: ResultRow) -> Replay:
    wave, shard = recorded["wave"], recorded["shard"]
    rows = read_shard(run.candidates(wave), shard)
    index = next(i for i, row in enumerate(rows) if row[0] == recorded["candidate_id"])
    candidate = rows[index][2]
    sets = read_sets(run.dependencies(wave))
    preparation = Preparation(
        rows,
        info.config.policy,
        read_checked(run.candidates(wave), shard),
        sets.get(environment.name, {}),
        pinned_image(environment),
    )
    if index in preparation.not_run:
        raise RuntimeFailure(preparation.not_run[index]["error_message"])
    judge = recorded["judge"] if recorded["judge"] in ("split", "inline") else info.config.judge
    request = preparation.execution(
        candidate, info.config, judge, from_text(recorded["perturbation"]), 1
    )
    agent = agent_starter(info, sets)(environment, 1, [candidate])
    try:
        answer = _ask(agent, {**request, "id": 1, "outputs": True}, candidate)
    finally:
        agent.close()
    weigh(answer, preparation.signs.get(index, ()), info.config.suspicious)
    row = result_row(info, environment, agent.hello, candidate, answer)
    row.update(wave=wave, shard=shard, candidate_id=recorded["candidate_id"])
    row.update(round=recorded["round"], attempt=0)
    return Replay(candidate, recorded, row, answer["outputs"])


def _ask(agent: Agent, request: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
    """The answer; raises ``RuntimeFailure`` when it isn't a verdict."""
    agent.submit(request)
    answers = agent.answers(_WAIT_S + longest_s(candidate))
    if not answers:
        raise RuntimeFailure("the agent doesn't answer any more")
    answer = answers[0]
    if answer.get("op") != "result":
        raise RuntimeFailure(f"the agent refused the execution: {answer.get('reason')}")
    if answer["verdict"] == Verdict.INTERNAL_ERROR.value:
        raise RuntimeFailure(
            f"the sandbox failed: {answer['error_type']}: {answer['error_message']}"
        )
    return answer
