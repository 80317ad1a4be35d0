"""When refining is over; what the ledger holds; what a budget lets through; what was learnt."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_failures import earlier, failed

from hpc_runner.errors import StorageError
from hpc_runner.model import Verdict
from hpc_runner.refine.budget import Budget, forecast, guess
from hpc_runner.refine.convergence import Reason, after_answer, before_question
from hpc_runner.refine.ledger import Answer, Answers
from hpc_runner.refine.patterns import Learnt, Patterns, error_class
from hpc_runner.refine.prompt import ask
from hpc_runner.refine.refiner import Finish, Question, Reply, Usage
from hpc_runner.refine.strategies import Strategy
from hpc_runner.refine.taxonomy import ErrorType, classify

A = "def f(x):\n    return x\n"
B = "def f(x):\n    return x + 0\n"
C = "def f(x):\n    y = 1\n    z = 2\n    return y * z\n"


def test_a_failure_that_stays_while_changes_grow_is_given_up() -> None:
    assert before_question(failed(C, history=(earlier(A), earlier(B))), 9) is Reason.DIVERGING
    assert before_question(failed(B, history=(earlier(A), earlier(A))), 9) is Reason.DIVERGING
    assert before_question(failed(B, history=(earlier(A), earlier(C))), 9) is None
    other = earlier(B, error_message="expected 2, got 7")
    assert before_question(failed(C, history=(earlier(A), other)), 9) is None
    assert before_question(failed(B, history=(earlier(A),)), 9) is None


def test_iterations_are_counted_in_generations() -> None:
    assert before_question(failed(), 1) is None
    assert before_question(failed(B, history=(earlier(A),)), 1) is Reason.MAX_ITERATIONS


def test_an_answer_that_was_there_before_ends_it() -> None:
    assert after_answer(failed(A), A + "# thought about it\n") is Reason.SAME_CODE
    assert after_answer(failed(B, history=(earlier(A),)), A) is Reason.OSCILLATION
    assert after_answer(failed(B, history=(earlier(A),)), C) is None


def question(key: str) -> Question:
    return ask(failed(), Strategy.COMPREHENSIVE, key)


def reply(usd: float | None = 0.25, tokens: int = 100) -> Reply:
    return Reply("text", Finish.STOP, "m", Usage(tokens, 10, 0, usd), 1.0, 1)


def add(answers: Answers, *keys: str, usd: float | None = 0.25) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(answers.add(Answer.of(question(k), reply(usd))) for k in keys))

    asyncio.run(all_at_once())


def test_the_ledger_finds_what_it_was_told(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.jsonl")
    add(answers, *"abc")
    again = Answers(tmp_path / "answers.jsonl")
    for ledger in (answers, again):
        found = ledger.get("b")
        assert found is not None and found.reply.text == "text"
        assert "d" not in ledger and ledger.get("d") is None
        assert (ledger.count, ledger.tokens, ledger.usd) == (3, 300, 0.75)


@given(cut=st.integers(min_value=1, max_value=200))
def test_a_line_that_was_cut_off_is_as_if_it_had_not_been(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "answers.jsonl"
    add(Answers(path), "a", "b")
    content = path.read_bytes()
    path.write_bytes(content[: -min(cut, len(content.splitlines()[1]))])
    answers = Answers(path)
    assert "a" in answers and "b" not in answers
    add(answers, "b")
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_damaged_ledger_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    add(Answers(path), "a")
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(StorageError, match="Remove that line"):
        Answers(path)


def test_a_budget_holds_whoever_asks_at_once(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.jsonl")
    keys = [f"{n}" for n in range(60)]

    async def spend(budget: Budget, key: str) -> str | None:
        refused = await budget.admit(question(key))
        if refused is None:
            await answers.add(Answer.of(question(key), reply(0.02)))
            await budget.settled(question(key))
        return refused

    async def everybody() -> list[str | None]:
        budget = Budget(answers, 0.5, None)
        return await asyncio.gather(*(spend(budget, key) for key in keys))

    refused = asyncio.run(everybody())
    assert 0.4 <= answers.usd <= 0.5
    assert {reason for reason in refused if reason} <= {
        f"${spent / 100:.2f} of $0.50 are spent" for spent in range(51)
    }


def test_an_unknown_price_is_not_taken_for_nothing(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.jsonl")
    add(answers, "a", usd=None)

    async def admit(usd: float | None, tokens: int | None) -> str | None:
        return await Budget(answers, usd, tokens).admit(question("b"))

    assert "isn't known" in str(asyncio.run(admit(5.0, None)))
    assert asyncio.run(admit(None, 10_000)) is None
    assert asyncio.run(admit(None, None)) is None


def test_a_forecast_goes_by_what_was_paid() -> None:
    assert forecast(10, 0).usd == pytest.approx(10 * guess(4000).usd)
    assert guess(7000).usd > guess(700).usd


FAILURE = failed()
KIND = error_class(FAILURE)


def test_without_experience_the_usual_strategy_is_taken() -> None:
    assert Learnt({}, {}).strategy(FAILURE) is Strategy.LOGIC_IMPROVEMENT


def test_experience_wins_and_something_else_is_tried_now_and_then() -> None:
    known = {KIND: {"logic_improvement": (1, 60), "error_handling": (50, 60)}}
    drawn = Counter(Learnt(known, {}, seed).strategy(FAILURE).value for seed in range(400))
    assert drawn["error_handling"] > 320 * 0.8
    assert sum(drawn[name] for name in ("security_hardening", "comprehensive")) > 5
    assert Learnt(known, {}, 3).strategy(FAILURE) is Learnt(known, {}, 3).strategy(FAILURE)


def outcome(run: str, accepted: bool, strategy: str, diff: str | None = None) -> dict[str, object]:
    return {
        "run_id": run, "candidate_id": run.encode().ljust(32)[:32],
        "created_at": datetime.now(UTC), "error_class": KIND,
        "signature": "wrong_answer AssertionError: expected 2, got 1", "strategy": strategy,
        "model": "m", "accepted": accepted, "diff": diff, "usd": 0.01,
    }  # fmt: skip


def test_patterns_are_shared_and_count_once(tmp_path: Path) -> None:
    one, other = Patterns(tmp_path / "p"), Patterns(tmp_path / "p")
    for n in range(30):
        (one if n % 2 else other).add([outcome(f"r{n}", n % 3 == 0, "comprehensive", f"+{n}")])
    one.add([outcome("r0", True, "comprehensive", "+0")])
    learnt = other.learnt()
    assert learnt.counts == {KIND: {"comprehensive": (10, 30)}}
    assert [example.diff for example in learnt.shown(FAILURE)] == ["+0", "+3"]
    assert learnt.shown(failed(verdict="time_limit")) == ()
    (row,) = one.rows()
    assert (row["tried"], row["accepted"]) == (30, 10)


def test_every_failure_has_a_type() -> None:
    for verdict in Verdict:
        kind, _ = classify(verdict.value, None)
        assert kind in ErrorType
    assert classify("runtime_error", "ModuleNotFoundError")[0] is ErrorType.DEPENDENCY
    assert classify("compile_error", "SyntaxError")[0] is ErrorType.SYNTAX
