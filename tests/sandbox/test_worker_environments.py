"""A shard in two environments: rounds crossed with interpreters, by the real agents."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from pythons import several
from test_worker import BAD, GOOD, Start, ended, planned, results, slow, start, until
from test_worker_failures import KILLER, Agents, work

from hpc_runner.errors import RuntimeFailure
from hpc_runner.results.journal import decode_lines
from hpc_runner.results.store import ShardStore
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, read_info
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.worker import AGENT_DEATHS, EXIT_STOPPED

__all__ = ["start"]

BY_VERSION = "import sys\ndef f(x): return x + (sys.version_info[:2] > ({}, {}))\n"


@pytest.fixture(scope="module")
def pythons() -> list[str]:
    return several(2)


def names(run: RunDir) -> list[str]:
    return [environment.name for environment in read_info(run).environments]


def by_task(run: RunDir) -> dict[str, dict[tuple[int, str], str]]:
    """Task → (round, environment) → verdict."""
    found: dict[str, dict[tuple[int, str], str]] = defaultdict(dict)
    for row in results(run):
        key = row["round"], row["environment"]
        assert key not in found[row["task_id"]], "an execution has two rows"
        found[row["task_id"]][key] = row["verdict"]
    return found


def votes(run: RunDir) -> dict[str, dict[str, Any]]:
    import pyarrow.parquet as pq

    vote(run, 0, read_info(run).config.consensus_threshold)
    return {row["task_id"]: row for row in pq.read_table(run.votes).to_pylist()}


def journalled(run: RunDir) -> dict[tuple[bytes, str, int], Any]:
    """The key of every row in journals and parts → when its execution began."""
    store = ShardStore(run, 0, 0, writer="reader")
    rows = [
        row
        for path in run.parts(0, 0).glob("*.journal")
        for row in decode_lines(path.read_bytes(), path)
    ]
    times = {(r["candidate_id"], r["environment"], r["round"]): r["started_at"] for r in rows}
    return {known.key: times.get(known.key) for known in store.recovered()}


def test_every_candidate_runs_in_every_environment(
    tmp_path: Path, start: Start, pythons: list[str]
) -> None:
    run = planned(tmp_path, [GOOD, BAD], rounds=3, early_stop=False, environments=pythons)
    assert ended(start(run)) == 0
    old, new = names(run)
    found = by_task(run)
    every = {(round_, name) for round_ in range(3) for name in (old, new)}
    assert found["t/0"] == dict.fromkeys(every, "accepted")
    assert found["t/1"] == dict.fromkeys(every, "wrong_answer")
    for row in results(run):
        version = row["python"].split(".")
        assert row["environment"] == f"py{version[0]}{version[1]}"
    assert all(row["environments_agree"] for row in votes(run).values())


def test_what_differs_by_version_is_flaky_and_without_agreement(
    tmp_path: Path, start: Start, pythons: list[str]
) -> None:
    where = tmp_path / "probe"
    where.mkdir()
    old, new = read_info(planned(where, [GOOD], environments=pythons)).environments
    assert old.python and new.python
    differs = BY_VERSION.format(*old.python.split(".")[:2])
    run = planned(tmp_path, [GOOD, differs], rounds=3, environments=pythons)
    assert ended(start(run)) == 0
    found = votes(run)
    assert (found["t/0"]["accepted"], found["t/0"]["flaky"]) == (True, False)
    assert found["t/0"]["environments_agree"] is True
    differing = found["t/1"]
    assert (differing["accepted"], differing["consensus"], differing["flaky"]) == (
        False,
        False,
        True,
    )
    assert (differing["environments"], differing["environments_agree"]) == (2, False)
    for (_, name), verdict in by_task(run)["t/1"].items():
        assert verdict == ("wrong_answer" if name == old.name else "accepted")
    # What is decided early has been seen in both, all the same.
    assert {name for _, name in by_task(run)["t/0"]} == {old.name, new.name}


def test_going_on_in_the_middle_repeats_nothing(
    tmp_path: Path, start: Start, pythons: list[str]
) -> None:
    options = {"rounds": 2, "early_stop": False, "environments": pythons}
    run = planned(tmp_path, slow(6, 0.1), **options)
    for more in (8, 14):  # in the second environment, and in the second round
        process = start(run)
        until(lambda: len(journalled(run)) >= more)  # noqa: B023
        process.send_signal(signal.SIGTERM if more == 8 else signal.SIGKILL)
        if more == 8:
            assert ended(process) == EXIT_STOPPED
        process.wait()
    before = journalled(run)
    assert {name for _, name, _ in before} == set(names(run))
    assert len(before) < 24
    assert ended(start(run)) == 0
    rows = {(r["candidate_id"], r["environment"], r["round"]): r for r in results(run)}
    assert len(rows) == len(results(run)) == 24
    for key, began in before.items():
        assert began is None or rows[key]["started_at"] == began, "it was executed again"
    assert {row["verdict"] for row in rows.values()} == {"accepted"}


def test_slots_are_shared_by_the_environments(
    tmp_path: Path, start: Start, pythons: list[str]
) -> None:
    options = {"rounds": 2, "early_stop": False, "environments": pythons, "slots": 2}
    run = planned(tmp_path, slow(8, 0.05), **options)
    assert ended(start(run)) == 0
    spans = [(row["started_at"].timestamp(), row["wall_s"]) for row in results(run)]
    for began, _ in spans:
        at_once = sum(other <= began < other + wall_s for other, wall_s in spans)
        assert at_once <= 2, "more at once than there are slots"


def test_an_agent_for_each_environment_started_when_it_is_due(
    tmp_path: Path, pythons: list[str]
) -> None:
    run = planned(tmp_path, [GOOD, BAD], rounds=3, environments=pythons)
    agents = Agents(tmp_path)
    assert work(run, agents)
    assert agents.environments == names(run)
    alone = tmp_path / "alone"
    alone.mkdir()
    run = planned(alone, [GOOD], rounds=2, early_stop=False, environments=pythons)
    agents = Agents(alone)
    assert work(run, agents, per_execution=True)
    assert Counter(agents.environments) == dict.fromkeys(names(run), 2)


def test_a_killer_is_unjudged_in_every_environment_and_harms_nobody(
    tmp_path: Path, pythons: list[str]
) -> None:
    codes = [*(f"{GOOD}# {n}" for n in range(4)), KILLER, BAD]
    run = planned(tmp_path, codes, rounds=1, slots=2, environments=pythons)
    assert work(run, Agents(tmp_path))
    found = by_task(run)
    assert set(found.pop("t/4").values()) == {"internal_error"}
    assert set(found.pop("t/5").values()) == {"wrong_answer"}
    assert all(
        list(verdicts.values()) == ["accepted"] * len(verdicts) for verdicts in found.values()
    )
    assert all(len(verdicts) == 2 for verdicts in found.values())


def test_another_python_than_planned_is_not_called_by_that_name(
    tmp_path: Path, start: Start, pythons: list[str]
) -> None:
    """As on a node where the same path leads elsewhere."""
    path = tmp_path / "python"
    path.symlink_to(pythons[0])
    run = planned(tmp_path, [GOOD], rounds=1, environments=[str(path)])
    path.unlink()
    path.symlink_to(pythons[1])
    process = start(run)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "its Python is" in said and "where the run was planned" in said
    assert not run.result(0, 0).exists()


def test_an_environment_that_never_works_is_named(tmp_path: Path, pythons: list[str]) -> None:
    run = planned(tmp_path, [f"{GOOD}# {n}" for n in range(20)], rounds=1, environments=pythons)
    working = Agents(tmp_path)
    bad = names(run)[1]
    failures = 0

    def partly(environment: EnvironmentInfo, slots: int, candidates: Any) -> Agent:
        nonlocal failures
        if environment.name != bad:
            return working(environment, slots, candidates)
        failures += 1
        raise RuntimeFailure("no such image")

    with pytest.raises(RuntimeFailure, match=f"agents of {bad} in a row died.*no such image"):
        work(run, partly)
    assert failures == AGENT_DEATHS
    assert work(run, working)
    assert Counter(row["verdict"] for row in results(run)) == {"accepted": 40}
