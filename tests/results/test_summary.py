"""The summary says what the files say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from results.made_runs import START, MadeCandidate, make_run

from hpc_runner.errors import RunError
from hpc_runner.results.statistics import pass_at_k
from hpc_runner.results.summary import Summary, summarise
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir


def mixed_run(root: Path) -> RunDir:
    """Three tasks of ten samples: one half solved, one flaky and unjudged, one never solved."""
    value_error = {"error_type": "ValueError", "error_message": "bad"}
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 3, samples=5),
        MadeCandidate("T/0", ["wrong_answer"] * 3, samples=5),
        MadeCandidate("T/1", ["accepted", "accepted", "wrong_answer"], samples=4),
        MadeCandidate("T/1", ["internal_error"] * 3, samples=6),
        MadeCandidate("T/2", ["runtime_error"] * 3, samples=9, columns=value_error),
        MadeCandidate("T/2", ["runtime_error"] * 2, columns=value_error),
    ]
    rejected = [("c.jsonl", n, "test", "it is missing") for n in range(3)]
    run = make_run(root, candidates, shards=2, rejected=rejected)
    vote(run, 0, 0.8)
    return run


def test_counts_of_samples_and_candidates(tmp_path: Path) -> None:
    summary = summarise(mixed_run(tmp_path))
    assert (summary.samples, summary.candidates, summary.tasks) == (30, 6, 3)
    assert (summary.duplicates, summary.rejected) == (24, 3)
    assert summary.rejected_reasons == {"it is missing": 3}
    assert summary.verdicts == {
        "accepted": 9,
        "wrong_answer": 5,
        "runtime_error": 10,
        "unjudged": 6,
    }
    assert summary.candidate_verdicts == {
        "accepted": 2,
        "wrong_answer": 1,
        "runtime_error": 2,
        "unjudged": 1,
    }
    assert (summary.accepted, summary.accepted_candidates, summary.tasks_solved) == (5, 1, 1)
    assert (summary.no_consensus, summary.flaky, summary.unjudged) == (1, 1, 1)
    assert (summary.executions, summary.executions_saved) == (17, 1)
    assert summary.complete


def test_pass_at_counts_duplicates_and_needs_consensus(tmp_path: Path) -> None:
    summary = summarise(mixed_run(tmp_path))
    assert summary.pass_at == {
        1: pytest.approx(5 / 10 / 3),
        10: pytest.approx(pass_at_k(10, 5, 10) / 3),
    }


def test_flaky_candidates_and_errors_are_named(tmp_path: Path) -> None:
    summary = summarise(mixed_run(tmp_path))
    [flaky] = summary.flaky_candidates
    assert flaky.task_id == "T/1" and len(bytes.fromhex(flaky.candidate_id)) == 32
    assert flaky.verdicts == {"accepted": 2, "wrong_answer": 1}
    assert [(e.error_type, e.error_message, e.candidates, e.task_id) for e in summary.errors] == [
        ("ValueError", "bad", 2, "T/2")
    ]


def test_time_is_that_of_the_executions(tmp_path: Path) -> None:
    summary = summarise(mixed_run(tmp_path))
    assert summary.started_at == START
    assert summary.ended_at == START + timedelta(seconds=16, milliseconds=500)
    assert summary.wall_s == 16.5
    assert summary.cpu_s == pytest.approx(17 * 0.25)
    assert summary.executions_per_s == pytest.approx(17 / 16.5)


def test_each_environment_is_counted_by_itself(tmp_path: Path) -> None:
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 4),
        MadeCandidate("T/1", ["accepted", "wrong_answer"] * 3),
        MadeCandidate("T/2", ["accepted", "internal_error"] * 3),
        MadeCandidate("T/3", ["time_limit"] * 6),
        MadeCandidate("T/4", ["accepted", "accepted", "accepted", "wrong_answer", "accepted"]),
    ]
    run = make_run(tmp_path, candidates, environments=["py313", "py311"])
    vote(run, 0, 0.8)
    summary = summarise(run)
    assert [(e.name, e.executions, e.judged, e.accepted) for e in summary.environments] == [
        ("py313", 14, 5, 4),
        ("py311", 13, 4, 1),  # T/4 is tied there, and so not accepted
    ]
    assert (summary.environments_compared, summary.environments_agree) == (4, 2)
    assert summary.environment_agreement == 0.5
    assert (summary.executions, summary.executions_saved) == (27, 3)


def test_what_is_never_run_is_not_saved(tmp_path: Path) -> None:
    never = {"isolation": "none", "python": ""}
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 3),
        MadeCandidate("T/1", ["policy_violation"] * 2, columns=never),
    ]
    run = make_run(tmp_path, candidates, environments=["a", "b"])
    vote(run, 0, 0.8)
    summary = summarise(run)
    assert (summary.executions, summary.executions_saved) == (3, 3)
    assert [item.judged for item in summary.environments] == [2, 2]


def test_without_a_second_environment_nothing_is_compared(tmp_path: Path) -> None:
    summary = summarise(mixed_run(tmp_path))
    [environment] = summary.environments
    assert (environment.name, environment.judged, environment.accepted) == ("py311", 5, 1)
    assert environment.python == ("3.11.7",)
    assert summary.environments_compared == 0 and summary.environment_agreement is None


def test_it_survives_its_own_json(tmp_path: Path) -> None:
    summary = summarise(mixed_run(tmp_path))
    assert Summary.model_validate_json(summary.model_dump_json()) == summary


def test_before_the_vote_everything_is_unjudged(tmp_path: Path) -> None:
    candidates = [MadeCandidate("T/0", ["accepted"]), MadeCandidate("T/1", [])]
    run = make_run(tmp_path, candidates, finish=False)
    summary = summarise(run)
    assert not summary.complete
    assert summary.verdicts == {"unjudged": 2}
    assert (summary.executions, summary.executions_saved) == (0, 0)
    assert summary.executions_per_s is None and summary.started_at is None


def test_what_is_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="run directory"):
        summarise(RunDir(tmp_path / "nowhere"))


def test_twenty_flaky_candidates_are_listed_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    candidates = [MadeCandidate(f"T/{n}", ["accepted", "time_limit"]) for n in range(25)]
    run = make_run(tmp_path, candidates, shards=5)
    vote(run, 0, 0.8)
    summary = summarise(run)
    assert [item.task_id for item in summary.flaky_candidates] == [f"T/{n}" for n in range(20)]
    assert summary.flaky == 25
