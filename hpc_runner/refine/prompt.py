"""What a model is shown of a failure.

Parts that many questions share come first, so that a provider's prompt cache pays: the rules,
the strategy and its examples, the task; then the program and its failure.  What programs and
their authors wrote stands between marks whose name is drawn for each request; it is bounded.
"""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpc_runner.model import (
    Assertions,
    Calls,
    ExpectedOutput,
    NoTests,
    Stdio,
    Tests,
    Unittest,
)
from hpc_runner.refine.answers import SCHEMA, Unusable
from hpc_runner.refine.failures import Earlier, FailedTest, Failure
from hpc_runner.refine.refiner import Part, Question
from hpc_runner.refine.strategies import Strategy, instruction, prompt_file

__all__ = ["CODE_CHARS", "Example", "ask", "fenced", "shortened"]

CODE_CHARS = 100_000
"""A longer program isn't shown to a model."""
OUTPUT_CHARS = 2_000
TESTS_CHARS = 6_000
DESCRIPTION_CHARS = 12_000
DIFF_CHARS = 3_000
MESSAGE_CHARS = 600


@dataclass(frozen=True)
class Example:
    """A repair that worked on a failure of the same kind."""

    signature: str
    diff: str


def ask(
    failure: Failure,
    strategy: Strategy,
    key: str,
    *,
    again: int = 0,
    unusable: Unusable | None = None,
    hide_tests: bool = False,
    examples: Sequence[Example] = (),
    fence: str | None = None,
) -> Question:
    """The question about a failure.  ``again``: answers to it that were of no use, and why the
    last one was.  ``fence``: the name in the marks, for tests; drawn if not given."""
    candidate = failure.candidate
    task = _task(failure, hide_tests)
    seen = _seen(failure, hide_tests)
    shown = [("the program", candidate.code), *seen]
    shown += [(title, text) for title, text in _attempts(failure, hide_tests)]
    shown += [(f"example: {one.signature}", shortened(one.diff, DIFF_CHARS)) for one in examples]
    name = fence or secrets.token_hex(8)  # that no text can hold, for nobody has seen it
    body = [f"Marks of this request: {name}\n", *(fenced(name, *pair) for pair in shown)]
    body.append(_situation(failure, again, unusable))
    return Question(
        key=key,
        system=(
            Part(prompt_file("system"), stable=True),
            Part(instruction(strategy), stable=True),
        ),
        user=(Part(task, stable=True), Part("\n".join(body))),
        schema=SCHEMA,
        task_id=candidate.task_id,
        code=candidate.code,
        attempt=candidate.generation + 1 + again,
        strategy=strategy.value,
        verdict=failure.verdict,
    )


def fenced(name: str, title: str, text: str) -> str:
    """Text that is data, and nothing else."""
    heading = " ".join(title.split())[:200]
    return f"BEGIN UNTRUSTED {name} ({heading})\n{text.rstrip()}\nEND UNTRUSTED {name}\n"


def shortened(text: str, most: int) -> str:
    """The start and the end of a text that is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _task(failure: Failure, hide_tests: bool) -> str:
    candidate = failure.candidate
    lines = [
        "## Task",
        f"Language: {candidate.language}",
        f"Dependencies: {', '.join(candidate.dependencies) or 'none'}",
        f"Limits: {candidate.limits.wall_s:g} s, {candidate.limits.memory_bytes >> 20} MiB",
        "",
        *_described_task(failure),
        "## How it is judged",
        _hidden(candidate.tests) if hide_tests else _told(candidate.tests),
        "",
    ]
    return "\n".join(lines)


def _described_task(failure: Failure) -> list[str]:
    """In words, unless the program holds them as it is."""
    words = failure.candidate.description.strip()
    if not words or words in failure.candidate.code:
        return []
    return ["In words:", shortened(words, DESCRIPTION_CHARS), ""]


def _hidden(tests: Tests) -> str:
    entry = getattr(tests, "entry_point", None)
    kinds = {
        "stdio": "The program is run once for each test, with an input on stdin; what it prints "
        "on stdout is compared.",
        "expected_output": "The program is run once; what it prints on stdout is compared.",
        "none": "The program is run once and must end without an error.",
    }
    told = kinds.get(tests.kind, "Tests import the program's names and call them.")
    calls = f" They call {entry}." if entry else ""
    return f"{told}{calls} The tests are not shown."


def _told(tests: Tests) -> str:
    match tests:
        case Assertions():
            told = "\n".join(filter(None, [tests.code, *tests.cases]))
            text = f"After the program these statements run, and none may fail:\n{told}"
        case Calls():
            cases = "\n".join(_case(tests, n) for n in range(len(tests.cases)))
            text = f"{tests.entry_point} is called, and the results are compared:\n{cases}"
        case Stdio():
            text = _hidden(tests).removesuffix(" The tests are not shown.")
            text += f" There are {len(tests.cases)} tests."
        case Unittest():
            text = f"These unit tests see the program's names:\n{tests.code}"
        case ExpectedOutput():
            text = f"The program is run once, and must print on stdout:\n{tests.stdout}"
        case NoTests():
            text = _hidden(tests).removesuffix(" The tests are not shown.")
    return shortened(text, TESTS_CHARS)


def _case(tests: Calls | Assertions | Stdio, number: int) -> str:
    """One test in words."""
    if isinstance(tests, Assertions):
        return tests.cases[number]
    if isinstance(tests, Stdio):
        case = tests.cases[number]
        given = shortened(case.stdin, OUTPUT_CHARS)
        return f"stdin:\n{given}\nexpected stdout:\n{shortened(case.stdout, OUTPUT_CHARS)}"
    called = tests.cases[number]
    arguments = [repr(value) for value in called.args]
    arguments += [f"{name}={value!r}" for name, value in called.kwargs.items()]
    text = f"{tests.entry_point}({', '.join(arguments)}) == {called.expected!r}"
    return shortened(text, OUTPUT_CHARS)


def _seen(failure: Failure, hide_tests: bool) -> list[tuple[str, str]]:
    """What was seen of the failure, as pairs of title and text."""
    if hide_tests:
        return [("kind of failure", f"{failure.verdict} {failure.error_type or ''}")]
    error = ": ".join(filter(None, [failure.error_type, failure.error_message]))
    shown = [("error", shortened(error, MESSAGE_CHARS))] if error else []
    if (test := _smallest(failure)) is not None:
        shown.append(("the smallest failing test", test))
    if failure.stdout.strip():
        shown.append(("the end of its stdout", shortened(failure.stdout, OUTPUT_CHARS)))
    if failure.stderr.strip():
        shown.append(("the end of its stderr", shortened(failure.stderr, OUTPUT_CHARS)))
    return shown


def _smallest(failure: Failure) -> str | None:
    """Of the tests that failed, the one that is told in the fewest words."""
    described = [_described(failure.candidate.tests, test) for test in failure.tests]
    return min(described, key=len, default=None)


def _described(tests: Tests, test: FailedTest) -> str:
    said = f"outcome: {test.outcome}\n{shortened(test.message, MESSAGE_CHARS)}".rstrip()
    if isinstance(tests, Calls | Assertions | Stdio) and test.name.isdecimal():
        number = int(test.name)
        if number < len(tests.cases):
            return f"{_case(tests, number)}\n{said}"
    return f"test {test.name}\n{said}"


def _attempts(failure: Failure, hide_tests: bool) -> list[tuple[str, str]]:
    """What earlier attempts changed, and what came of it."""
    if not failure.history:
        return []
    ends: list[Earlier | Failure] = [*failure.history[1:], failure]
    results = [_result(one, hide_tests) for one in ends]
    codes = [*(one.code for one in failure.history), failure.candidate.code]
    return [
        (
            f"earlier attempt {number}, which ended as {result}",
            shortened(unified(before, after), DIFF_CHARS) or "(no change)",
        )
        for number, ((before, after), result) in enumerate(
            zip(pairwise(codes), results, strict=True), 1
        )
    ]


def _result(one: Earlier | Failure, hide_tests: bool) -> str:
    message = None if hide_tests else one.error_message
    return ": ".join(filter(None, [one.verdict, one.error_type, message]))


def unified(before: str, after: str) -> str:
    """A diff without a header."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return "\n".join(list(lines)[2:])


def _situation(failure: Failure, again: int, unusable: Unusable | None) -> str:
    lines = [f"The verdict is {failure.verdict}."]
    if failure.flaky:
        cause = f"; they depend on {failure.cause}" if failure.cause else ""
        lines.append(f"Executions of the program disagree with each other{cause}.")
    if again and unusable is not None:
        detail = f" ({' '.join(unusable.detail.split())[:200]})" if unusable.detail else ""
        lines.append(
            f"Your last answer could not be used: {unusable.trouble.value}{detail}. "
            "Answer with the JSON object alone, and keep it short enough to be complete."
        )
    lines.append("Correct the program.")
    return " ".join(lines)
