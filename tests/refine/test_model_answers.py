"""What models send back, and what is made of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.refine.answers import SCHEMA, Trouble, Unusable, normalised, program_in
from hpc_runner.refine.refiner import Finish, Reply, Usage

CODE = 'def f(x):\n    """{"code": 1}"""\n    return x + 1\n'


def reply(text: str, finish: Finish = Finish.STOP) -> Reply:
    return Reply(text, finish, "m", Usage(1, 0, 1, None), 0.0, 1)


def said(code: str) -> str:
    return json.dumps({"explanation": "off by one", "code": code})


@pytest.mark.parametrize(
    "text",
    [
        said(CODE),
        f"```json\n{said(CODE)}\n```",
        f"Here is the answer:\n\n{said(CODE)}\n\nGood luck!",
        said(f"```python\n{CODE}```"),
        f"Sure! The bug is in `f`.\n```python\n{CODE}```\nThis adds one.",
        f"Sure: ```python\n{CODE}```",
        f'{{"thought": {{"a": 1}}}} {said(CODE)}',
        CODE,
    ],
)
def test_the_program_is_found_in_whatever_surrounds_it(text: str) -> None:
    assert program_in(reply(text), "python", "f") == CODE


@pytest.mark.parametrize(
    ("text", "finish", "trouble"),
    [
        ("", Finish.EMPTY, Trouble.EMPTY),
        ("{}", Finish.STOP, Trouble.EMPTY),
        (said(CODE)[:40], Finish.LENGTH, Trouble.TRUNCATED),
        ("I can't help with that.", Finish.REFUSAL, Trouble.REFUSED),
        ('{"answer": "def f(): pass"}', Finish.STOP, Trouble.WRONG_SCHEMA),
        ('{"code": 7}', Finish.STOP, Trouble.WRONG_SCHEMA),
        ('{"code": "  "}', Finish.STOP, Trouble.NO_CODE),
        ("I am sorry, there is nothing wrong with it.", Finish.STOP, Trouble.NO_CODE),
        ("Sorry", Finish.STOP, Trouble.NO_CODE),
        ("<html><body>502</body></html>", Finish.STOP, Trouble.NO_CODE),
        (said("def f(x:\n    return"), Finish.STOP, Trouble.DOES_NOT_COMPILE),
        (said("x = '\ud800'"), Finish.STOP, Trouble.DOES_NOT_COMPILE),
    ],
)
def test_what_is_of_no_use_is_told_apart(text: str, finish: Finish, trouble: Trouble) -> None:
    found = program_in(reply(text, finish), "python")
    assert isinstance(found, Unusable)
    assert found.trouble is trouble


def test_programs_of_other_languages_are_taken_as_they_are() -> None:
    assert program_in(reply(said("fn main() {}")), "rust") == "fn main() {}\n"
    assert isinstance(program_in(reply("fn main() {}"), "rust"), Unusable)
    assert program_in(reply("```rust\nfn main() {}\n```"), "rust") == "fn main() {}\n"


@given(st.text(max_size=300))
def test_no_text_is_too_odd(text: str) -> None:
    assert isinstance(program_in(reply(text), "python"), str | Unusable)


def test_a_long_answer_of_braces_is_soon_given_up() -> None:
    found = program_in(reply("{" * 200_000), "python")
    assert isinstance(found, Unusable)


def test_layout_and_comments_make_no_other_program() -> None:
    assert normalised("x=1 # a\n\n\ny = 'a'", "python") == normalised('x = 1\ny = "a"\n', "python")
    assert normalised("x = 1", "python") != normalised("x = 2", "python")
    assert normalised("a {\n\n}", "rust") == normalised("a {\n}\n", "rust")


def test_the_schema_asks_for_what_is_read() -> None:
    assert SCHEMA["required"] == ["explanation", "code"]
    assert SCHEMA["additionalProperties"] is False
