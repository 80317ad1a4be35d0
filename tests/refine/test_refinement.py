"""Refinement from the first vote to the last, with a scripted model and real workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.coordinator import Phase, run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.refine.engine import refinement
from hpc_runner.results.summary import Summary
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

RIGHT = "def f(x):\n    return x + 1\n"
CALLS = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def program(task: str, code: str) -> dict[str, Any]:
    # Another limit for each task: the same program is another candidate.
    limits = {"wall_s": 2 + int(task) / 1000}
    return {"task_id": task, "code": code, "tests": CALLS, "limits": limits}


def rule(task: str, code: str, attempt: int | None = None, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "usd": 0.01}
    answer = {"explanation": "so", "code": code}
    asked = {"task_id": task, **({} if attempt is None else {"attempt": attempt})}
    return {**asked, "answer": answer, "usage": usage, **more}


def refined_run(
    where: Path, corpus: list[dict[str, Any]], rules: list[dict[str, Any]], **refine: Any
) -> RunDir:
    values: dict[str, Any] = {
        "corpus": (str(lines(where / "corpus.jsonl", corpus)),),
        "runtime": "local",
        "require_isolation": "limits",
        "rounds": 1,
        "refine": {
            "mode": "failing",
            "model": f"scripted:{lines(where / 'rules.jsonl', rules)}",
            **refine,
        },
    }
    run = RunDir(where / "run")
    plan(run, RunConfig.parse(values), progress=lambda _: None)
    return run


def finish(run: RunDir, refine: Any = None) -> Summary:

    config = refine or read_info(run).config.refine
    with refinement(run, config, lambda _: None) as opener:
        state = run_to_end(
            run, LocalScheduler(2), on_change=lambda _: None, say=lambda _: None, opener=opener
        )
    assert state.phase is Phase.DONE
    return Summary.model_validate_json(run.summary.read_bytes())


def refined(run: RunDir) -> dict[tuple[str, int], dict[str, Any]]:
    """By task and wave."""
    rows = [row for path in run.refined_files() for row in pq.read_table(path).to_pylist()]
    return {(row["task_id"], row["wave"]): row for row in rows}


def answers(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.answers.read_text().splitlines()]


def test_each_way_to_end(tmp_path: Path) -> None:
    wrong = "def f(x):\n    return x\n"
    other = "def f(x):\n    return x - 1\n"
    corpus = [
        program("1", wrong),
        program("2", wrong),
        program("3", wrong),
        program("4", wrong),
        program("5", wrong),
        program("6", wrong),
        program("7", RIGHT.replace(" + ", "\u200b + ")),
        program("8", "def f(x):\n    return math.floor(x) + 1\n"),
        program("9", RIGHT),
    ]
    rules = [
        rule("1", other, 1),
        rule("1", RIGHT, 2),
        rule("2", f"# why not\n{wrong}"),
        rule("3", other, 1),
        rule("3", wrong, 2),
        rule("4", "def f(x)\n  return", 1),
        rule("4", RIGHT, 2),
        rule("5", "", answer="I would rather not.", finish="refusal"),
        {"task_id": "6", "error": "question", "message": "the context is too long"},
    ]
    run = refined_run(tmp_path, corpus, rules)
    summary = finish(run)
    found = refined(run)
    assert found["1", 1]["strategy"] == "logic_improvement"
    assert found["1", 2]["strategy"] == "comprehensive"
    reasons = {key: row["reason"] for key, row in found.items() if row["reason"]}
    assert reasons == {
        ("2", 1): "same_code",
        ("3", 2): "oscillation",
        ("5", 1): "no_answer",
        ("6", 1): "question_refused",
    }
    assert found["4", 1]["answers"] == 2, "what doesn't compile is asked for once more"
    assert found["5", 1]["detail"] == "refused"
    assert "too long" in found["6", 1]["detail"]
    assert {found["7", 1]["how"], found["8", 1]["how"]} == {"local"}
    assert found["8", 1]["repairs"] == ["import math"]
    assert ("9", 1) not in found
    assert summary.accepted == 1, "as it came"
    assert summary.accepted_after_refinement == 4
    assert summary.pass_at[1] == pytest.approx(1 / 9)
    assert summary.waves == 3
    assert sum(row["usd"] for row in found.values()) == pytest.approx(
        sum(answer["usd"] for answer in answers(run))
    )
    children = pq.read_table(run.candidates(1)).to_pylist()
    assert {row["generation"] for row in children} == {1}
    by_task = {row["task_id"]: row["parent"] for row in children}
    assert by_task["1"] == found["1", 1]["candidate_id"]


def test_candidates_that_fail_alike_share_an_answer(tmp_path: Path) -> None:
    corpus = [
        {"task_id": "t", "code": f"def f(x):\n    return x{mark}\n", "tests": CALLS}
        for mark in ("", "  # the same", "\n\n", " # again")
    ]
    run = refined_run(tmp_path, corpus, [rule("t", RIGHT)])
    assert finish(run).accepted_after_refinement == 4
    assert len(answers(run)) == 1
    rows = pq.read_table(run.refined(1)).to_pylist()
    assert [row["sharing"] for row in rows] == [4] * 4
    assert sum(row["answers"] for row in rows) == 1
    assert pq.read_table(run.candidates(1)).num_rows == 1


def test_iterations_and_money_are_limited(tmp_path: Path) -> None:
    corpus = [program(str(n), f"def f(x):\n    return x * {n}\n") for n in range(3, 9)]
    rules = [
        rule(str(n), f"def f(x):\n    return {attempt}\n", attempt)
        for n in range(3, 9)
        for attempt in (7, 8, 9)
    ]
    rules += [rule(str(n), f"def f(x):\n    return {10 * n}\n", 1) for n in range(3, 9)]
    rules += [rule(str(n), f"def f(x):\n    return x - {n}\n", 2) for n in range(3, 9)]
    (tmp_path / "a").mkdir()
    run = refined_run(tmp_path / "a", corpus, rules, max_iterations=2)
    finish(run)
    assert {r["reason"] for (_, wave), r in refined(run).items() if wave == 3} == {"max_iterations"}
    (tmp_path / "b").mkdir()
    run = refined_run(tmp_path / "b", corpus, rules, budget_tokens=8000, concurrency=1)
    finish(run)
    spent = sum(a["prompt_tokens"] + a["completion_tokens"] for a in answers(run))
    assert 5000 <= spent <= 8000
    assert "budget" in {row["reason"] for row in refined(run).values()}
    (tmp_path / "c").mkdir()
    run = refined_run(tmp_path / "c", corpus, rules, budget_usd=0.0)
    assert finish(run).waves == 1
    assert not run.answers.exists()


def test_only_what_is_unsolved(tmp_path: Path) -> None:
    corpus = [
        {"task_id": "solved", "code": "def f(x):\n    return x\n", "tests": CALLS},
        {"task_id": "solved", "code": RIGHT, "tests": CALLS},
        program("7", "def f(x):\n    return x\n"),
    ]
    run = refined_run(tmp_path, corpus, [rule("7", RIGHT)], mode="unsolved")
    assert finish(run).tasks_solved == 2
    assert {task for task, _ in refined(run)} == {"7"}


def test_without_a_key_what_needs_no_model_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    broken = RIGHT.replace(" + ", "\u200b + ")
    corpus = [program("1", broken), program("2", "x = 1")]
    run = refined_run(tmp_path, corpus, [rule("1", RIGHT)], model=None)
    said: list[str] = []
    with refinement(run, read_refine(run), said.append) as opener:
        assert opener is not None
        run_to_end(
            run, LocalScheduler(1), on_change=lambda _: None, say=lambda _: None, opener=opener
        )
    assert any("OPENROUTER_API_KEY" in line for line in said)
    assert {task: row["how"] for (task, _), row in refined(run).items()} == {
        "1": "local",
        "2": "none",
    }
    assert refined(run)["2", 1]["reason"] == "no_key"


def read_refine(run: RunDir) -> Any:

    return read_info(run).config.refine
