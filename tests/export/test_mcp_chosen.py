"""Which candidates of a run become tools, and what their tools tell of where they come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp_made import of_calls
from results.made_runs import MadeCandidate, make_run

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, RunError
from hpc_runner.export.mcp.chosen import chosen
from hpc_runner.pipeline.coordinator import Phase, run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.refine.engine import refinement
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 5, samples=2),
        MadeCandidate("T/1", ["accepted"] * 4 + ["wrong_answer"]),
        MadeCandidate("U/2", ["wrong_answer"] * 5),
        MadeCandidate("U/3", ["accepted"] * 5),
    ]
    made = make_run(tmp_path / "run", candidates, rounds=5, shards=2)
    vote(made, 0, 0.8)
    return made


def test_accepted_candidates_by_task_and_agreement(run: RunDir) -> None:
    def tasks(*patterns: str, least: float = 1.0) -> list[str]:
        return [candidate.task_id for candidate, _ in chosen(run, patterns, least)]

    assert tasks() == ["T/0", "U/3"]
    assert tasks(least=0.8) == ["T/0", "T/1", "U/3"]
    assert tasks("T/*") == ["T/0"]
    assert tasks("T/1", "U/3", least=0.7) == ["T/1", "U/3"]
    with pytest.raises(ConfigError, match="of a task U/2"):
        tasks("U/2", "T/0")


def test_provenance_says_what_the_vote_was(run: RunDir) -> None:
    candidate, found = list(chosen(run, ["T/1"], 0.8))[0]  # noqa: RUF015 - the whole of it is read
    assert found.candidate_id == candidate.candidate_id.hex()
    assert (found.judged, found.agreement, found.wave, found.generation) == (5, 0.8, 0, 0)
    assert found.agreement_low is not None and found.agreement_low < 0.8
    assert [one.name for one in found.environments] == ["py311"]
    assert found.refined_by is None


def test_a_run_without_votes_is_named(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", [MadeCandidate("T/0", [])], finish=False)
    with pytest.raises(RunError, match="no votes yet"):
        list(chosen(made, [], 1.0))


def test_refined_candidates_tell_what_refined_them(tmp_path: Path) -> None:
    failing = of_calls(
        "def f(x):\n    return x\n", "f", ([1], 2), env={"A": "b", "LD_PRELOAD": "x"}
    )
    corpus = {**failing.model_dump(mode="json", include={"task_id", "code", "tests", "env"})}
    answer = {"explanation": "one more", "code": "def f(x):\n    return x + 1\n"}
    rules = {"task_id": "T/0", "answer": answer, "usage": {"prompt_tokens": 9, "usd": 0.01}}
    for name, row in (("corpus.jsonl", corpus), ("rules.jsonl", rules)):
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    config = RunConfig.parse(
        {
            "corpus": (str(tmp_path / "corpus.jsonl"),),
            "runtime": "local",
            "require_isolation": "limits",
            "rounds": 1,
            "refine": {"mode": "failing", "model": f"scripted:{tmp_path / 'rules.jsonl'}"},
        }
    )
    run = RunDir(tmp_path / "run")
    plan(run, config, progress=lambda _: None)
    with refinement(run, config.refine, lambda _: None) as opener:
        state = run_to_end(
            run, LocalScheduler(1), on_change=lambda _: None, say=lambda _: None, opener=opener
        )
    assert state.phase is Phase.DONE
    ((candidate, found),) = chosen(run, [], 1.0)
    assert candidate.code == answer["code"]
    assert (found.wave, found.generation) == (1, 1)
    assert found.refined_by is not None and "scripted" in found.refined_by
    assert found.parent is not None and found.parent != found.candidate_id
    assert candidate.env == {"A": "b"}, "the variables that it was really given"
