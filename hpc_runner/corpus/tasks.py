"""What a format makes of a row: a task, and the programs for it.

A format is two functions and the fields that it is known by; the table of all
of them is in ``formats.py``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import ValidationError

from hpc_runner.corpus.answers import complete, extract_code, normalise
from hpc_runner.corpus.rows import Row
from hpc_runner.errors import RowError
from hpc_runner.model import Candidate, Checker, Limits, Stdio, StdioCase, Tests

__all__ = [
    "Format",
    "Program",
    "Task",
    "candidate",
    "described",
    "stdio",
    "validated",
    "whole_program",
]

DEFAULT_LIMITS = Limits()
DESCRIPTIONS = (
    "description", "question", "question_content", "instruct_prompt", "text", "prompt",
)  # fmt: skip
"""Fields that hold a task in words, in one format or another."""
DESCRIPTION_CHARS = 20_000
"""What is longer is cut off."""
CONTEST_HEADER = (
    "import bisect, collections, copy, datetime, fractions, functools, heapq, itertools, json,"
    " math, operator, random, re, statistics, string, sys, time;"
    " from bisect import *; from collections import *; from functools import *;"
    " from heapq import *; from itertools import *; from math import *; from typing import *;"
    " from builtins import *\n"
)
"""Names that contest sites and their evaluators promise to a solution (LeetCode's
``List`` above all).  One line, so that tracebacks are off by one at most."""


@dataclass(frozen=True, slots=True)
class Task:
    """A problem without a program."""

    task_id: str
    tests: Tests
    language: str = "python"
    limits: Limits = DEFAULT_LIMITS
    prompt: str = ""
    """What a completion is appended to."""
    entry_point: str | None = None
    header: str = ""
    """What stands before a whole Python program (unless that has ``from __future__``)."""
    dependencies: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    description: str = ""
    """In words, for whoever repairs a program."""


@dataclass(frozen=True, slots=True)
class Program:
    """Code as it came, and the key of the row that it came from."""

    key: str
    text: str
    completion: bool = False
    """Whether ``text`` goes on where the task's prompt ends."""
    language: str | None = None
    """Of this program, if not the task's."""
    final: bool = False
    """Whether ``text`` is reference code that has no Markdown around it."""


@dataclass(frozen=True, slots=True)
class Format:
    """``programs`` reads those that a problem's own row holds, or those of the
    field that the user chose; it raises ``RowError`` when there are none."""

    name: str
    fields: tuple[frozenset[str], ...]
    """Alternatives: a row that has all of one may be of this format."""
    without: frozenset[str]
    """Fields that tell that it is another format's."""
    ids: tuple[str, ...]
    """Fields that hold the identifier of the task, in a problem and in a sample."""
    task: Callable[[Row], Task]
    programs: Callable[[Row, Task, str | None], Iterable[Program]]
    holds_code: bool = True
    """Whether problems come with programs; if not, samples are needed."""


def whole_program(task: Task, program: Program, language: str) -> str:
    """The code that is run for ``program``."""
    if program.final:
        return program.text
    if program.completion and language == "python":
        return complete(task.prompt, program.text, task.entry_point)
    code = extract_code(program.text, language, task.entry_point)
    if program.completion:
        return task.prompt + code
    if language != "python":
        return code
    code = normalise(code)
    return code if "from __future__" in code else task.header + code


def candidate(row: Row, task: Task, program: Program) -> Candidate:
    """Raises ``RowError`` when the program is no text that can be run."""
    if not row.check_code(program.key, program.text).strip():
        raise row.bad(program.key, "is empty: there is no code to run")
    language = program.language or task.language
    code = whole_program(task, program, language)
    if not code.strip():
        raise row.bad(program.key, "is empty: there is no code to run")
    with validated(row, program.key):
        return Candidate(
            task_id=task.task_id,
            code=row.check_code(program.key, code),
            tests=task.tests,
            language=language,
            limits=task.limits,
            dependencies=task.dependencies,
            env=task.env,
            description=task.description,
        )


def described(row: Row) -> str:
    """The task in words: the first of ``DESCRIPTIONS`` that the row has as text."""
    found = (row.fields.get(key) for key in DESCRIPTIONS)
    text = next((value for value in found if isinstance(value, str) and value.strip()), "")
    return text[:DESCRIPTION_CHARS].encode("utf-8", "replace").decode()


@contextmanager
def validated(row: Row, key: str = "") -> Iterator[None]:
    """Turns what pydantic finds wrong into a ``RowError`` below ``key``."""
    try:
        yield
    except ValidationError as error:
        raise explained(row, key, error) from error


def explained(row: Row, key: str, error: ValidationError) -> RowError:
    """The first mistake that pydantic found, and how many more there are."""
    mistakes = error.errors(include_url=False)
    first = mistakes[0]
    path = ".".join(str(part) for part in (key, *first["loc"]) if part != "")
    reason = f"{first['msg']} (found {reprlib.repr(first['input'])})"
    if len(mistakes) > 1:
        reason += f"; and {len(mistakes) - 1} more"
    return row.bad(path, reason)


def stdio(row: Row, key: str, cases: Iterable[tuple[str, str]], tolerance: float) -> Stdio:
    """Contest tests.  White space between tokens doesn't count; numbers are compared
    within ``tolerance`` when what is expected has a decimal point somewhere."""
    listed = tuple(StdioCase(stdin=given, stdout=expected) for given, expected in cases)
    if not listed:
        raise row.bad(key, "there are no tests")
    floats = any(_has_float(case.stdout) for case in listed)
    checker: Checker = "floats" if floats else "tokens"
    return Stdio(cases=listed, checker=checker, tolerance=tolerance)


def _has_float(text: str) -> bool:
    if "." not in text:
        return False
    return any(_is_float(token) for token in text.split() if "." in token)


def _is_float(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def chosen_field(row: Row, key: str) -> Iterator[Program]:
    """The programs of a field that the user named: a string, or a list of them."""
    value = row.get(key)
    texts = row.strings(key) if isinstance(value, list) else [row.text(key)]
    for i, text in enumerate(texts):
        where = f"{key}[{i}]" if isinstance(value, list) else key
        yield Program(where, text, completion=key == "completion")
