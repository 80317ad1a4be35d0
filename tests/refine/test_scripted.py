"""Answers from a file: which rule answers, and what is said of a bad file."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from hpc_runner.errors import ConfigError, ModelBusy, QuestionError
from hpc_runner.refine.factory import make_refiner
from hpc_runner.refine.refiner import Finish, ModelSpec, Part, Question, Reply, question_key

CODE = "def f(): return 1/0\n"


def question(**changes: object) -> Question:
    system, user = (Part("mend it", stable=True),), (Part(CODE),)
    values = {
        "key": question_key(system, user, {}), "system": system, "user": user, "schema": {},
        "task_id": "t/0", "code": CODE, "attempt": 1, "strategy": "comprehensive",
        "verdict": "runtime_error",
    }  # fmt: skip
    return Question(**{**values, **changes})


def ask(tmp_path: Path, *rules: object, **changes: object) -> Reply:
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    return asyncio.run(make_refiner(ModelSpec(name=f"scripted:{path}")).ask(question(**changes)))


def test_the_first_rule_that_matches_answers(tmp_path: Path) -> None:
    rules = (
        {"task_id": "t/1", "answer": "of another task"},
        {"code_sha256": "0" * 64, "answer": "of other code"},
        {"verdict": "runtime_error", "attempt": 2, "answer": "second"},
        {"code_sha256": hashlib.sha256(CODE.encode()).hexdigest(), "answer": {"code": "ok"}},
        {"answer": "any"},
    )
    first = ask(tmp_path, *rules)
    assert json.loads(first.text) == {"code": "ok"}
    assert first.finish is Finish.STOP and first.model == "scripted:script.jsonl"
    assert first.usage.usd is None
    assert ask(tmp_path, *rules, attempt=2).text == "second"
    assert ask(tmp_path, *rules, code="other").text == "any"


def test_usage_and_finish_are_the_rules(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "usd": 0.5}
    reply = ask(tmp_path, {"answer": "{", "finish": "length", "usage": usage})
    assert reply.finish is Finish.LENGTH
    assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.usage.usd) == (7, 0, 0.5)
    assert ask(tmp_path, {"answer": ""}).finish is Finish.EMPTY


def test_errors_are_those_of_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelBusy, match="too many"):
        ask(tmp_path, {"error": "busy", "message": "too many"})
    with pytest.raises(QuestionError, match="no rule matches task 't/0', attempt 1"):
        ask(tmp_path, {"task_id": "t/1", "answer": ""})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"answer": 1', "row 1: not JSON"),
        ('{"anwser": "x"}', "anwser"),
        ('{"task_id": "t"}', "either an answer or an error"),
        ('{"answer": "x", "error": "busy"}', "either an answer or an error"),
        ('{"error": "bad luck"}', "one of busy, question, unavailable"),
        ('{"answer": "x", "attempt": "2"}', "row 1: attempt"),
        ('{"answer": "x", "usage": {"usd": -1}}', "usage.usd"),
        ("[]", "row 1"),
    ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text('{"answer": "x"}\n' + line + "\n")
    with pytest.raises(ConfigError) as caught:
        make_refiner(ModelSpec(name=f"scripted:{path}"))
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_a_file_that_is_missing_or_empty_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        make_refiner(ModelSpec(name=f"scripted:{tmp_path / 'none.jsonl'}"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(ConfigError, match="no rule"):
        make_refiner(ModelSpec(name=f"scripted:{empty}"))
