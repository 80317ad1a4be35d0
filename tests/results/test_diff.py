"""What two runs of a corpus differ in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from results.made_runs import MadeCandidate, make_run
from typer.testing import CliRunner

from hpc_runner.cli import app
from hpc_runner.errors import RunError
from hpc_runner.results.diff import compare
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir

GOOD, BAD, SLOW = ["accepted"] * 3, ["wrong_answer"] * 3, ["time_limit"] * 3
MIXED = ["accepted", "accepted", "wrong_answer"]
MOSTLY = ["accepted"] * 4 + ["wrong_answer"]


def voted(where: Path, verdicts: list[list[str]], tasks: str = "T") -> RunDir:
    """Candidate n is the n-th program, whatever the run; its task is named after it."""
    candidates = [MadeCandidate(f"{tasks}/{n}", found) for n, found in enumerate(verdicts)]
    run = make_run(where, candidates)
    vote(run, 0, 0.8)
    return run


def tasks(changes: tuple[object, ...]) -> list[str]:
    return [change.task_id for change in changes]  # type: ignore[attr-defined]


def test_every_kind_of_change(tmp_path: Path) -> None:
    before = voted(tmp_path / "a", [GOOD, GOOD, BAD, BAD, GOOD, MOSTLY, ["internal_error"], BAD])
    after = voted(tmp_path / "b", [GOOD, BAD, GOOD, SLOW, MOSTLY, GOOD, GOOD, BAD, GOOD])
    found = compare(before, after)
    assert tasks(found.new_failures) == ["T/1"]
    assert tasks(found.fixed) == ["T/2", "T/6"]
    assert tasks(found.changed) == ["T/3"]
    assert tasks(found.now_flaky) == ["T/4"]
    assert tasks(found.no_longer_flaky) == ["T/5"]
    assert tasks(found.added) == ["T/8"]
    assert found.removed == ()
    assert (found.candidates, found.same) == (8, 2)
    assert found.worse
    assert found.fixed[1].before == "unjudged"
    back = compare(after, before)
    assert tasks(back.removed) == ["T/8"] and tasks(back.fixed) == ["T/1"]


def test_a_lost_consensus_is_a_failure_and_flaky(tmp_path: Path) -> None:
    found = compare(voted(tmp_path / "a", [GOOD]), voted(tmp_path / "b", [MIXED]))
    assert tasks(found.new_failures) == tasks(found.now_flaky) == ["T/0"]
    assert found.new_failures[0].after == "accepted without consensus"


def test_another_program_for_a_task_is_matched_by_its_place(tmp_path: Path) -> None:
    before = voted(tmp_path / "a", [GOOD, BAD])
    after = make_run(tmp_path / "b", [MadeCandidate("T/0", BAD), MadeCandidate("X", BAD)], first=1)
    vote(after, 0, 0.8)
    found = compare(before, after)
    # The program of T/1 is that of T/0 now: the same program, under another name of its task.
    assert (found.candidates, found.same) == (1, 1)
    assert (tasks(found.added), tasks(found.removed)) == (["X"], ["T/0"])
    other = make_run(tmp_path / "c", [MadeCandidate("T/0", BAD), MadeCandidate("X", BAD)], first=7)
    vote(other, 0, 0.8)
    found = compare(before, other)
    [change] = found.new_failures
    assert change.task_id == "T/0" and change.candidate_before != change.candidate_after
    assert (tasks(found.added), tasks(found.removed)) == (["X"], ["T/1"])


def test_the_same_run_twice_is_the_same(tmp_path: Path) -> None:
    run = voted(tmp_path / "a", [GOOD, MIXED, BAD])
    found = compare(run, run)
    assert (found.candidates, found.same, found.worse) == (3, 3, False)


def test_a_run_that_has_not_voted_is_told(tmp_path: Path) -> None:
    run = voted(tmp_path / "a", [GOOD])
    run.votes.unlink()
    with pytest.raises(RunError, match="no votes yet"):
        compare(run, run)


def test_exit_codes_and_both_forms(tmp_path: Path) -> None:
    a, b = voted(tmp_path / "a", [GOOD, BAD]), voted(tmp_path / "b", [BAD, GOOD])
    worse = CliRunner().invoke(app, ["diff", str(a.root), str(b.root)])
    assert worse.exit_code == 1
    assert "New failures: 1\n  T/0 sample 0: accepted → wrong_answer" in worse.stdout
    same = CliRunner().invoke(app, ["diff", str(a.root), str(a.root), "--json"])
    assert same.exit_code == 0 and json.loads(same.stdout)["same"] == 2
