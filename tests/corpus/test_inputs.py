"""Inputs made of a task's tests: of the same types, all different, the same for the same seed."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.corpus.inputs import MARK, examples, inputs, probe
from hpc_runner.model import Assertions, Calls, Candidate, Case, NoTests, Unittest

simple = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text("ab1X ")
values = st.recursive(simple, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner))
arguments = st.lists(values, min_size=1, max_size=3).map(tuple)


def types(value: Any) -> Any:
    """What has to stay as it is; of a list, the types that are in it."""
    if isinstance(value, tuple):
        return (tuple, *map(types, value))
    if isinstance(value, list):
        return (list, frozenset(map(types, value)))
    return type(value)


def within(made: Any, given_: Any) -> bool:
    """A list may lose elements, so that fewer types are in it."""
    if isinstance(made, list) and isinstance(given_, list):
        return all(any(within(one, other) for other in given_) for one in made)
    if isinstance(made, tuple) and isinstance(given_, tuple) and len(made) == len(given_):
        return all(map(within, made, given_))
    return type(made) is type(given_)


@given(st.lists(arguments, min_size=1, max_size=3), st.integers(1, 20), st.text(max_size=3))
def test_they_keep_their_types(found: list[tuple[Any, ...]], count: int, seed: str) -> None:
    found = list({repr(one): one for one in found}.values())
    made = inputs(found, count, seed)
    assert len(made) <= count and made[: len(found)] == found[:count]
    assert len({repr(one) for one in made}) == len(made)
    assert made == inputs(found, count, seed)
    for one in made:
        assert any(within(one, given_) for given_ in found), (one, found)
        assert ast.literal_eval(repr(one)) == one


def test_another_seed_makes_other_inputs() -> None:
    found = [([1, 2, 3], "abc")]
    assert len(inputs(found, 20, "0")) == 20
    assert inputs(found, 20, "0") != inputs(found, 20, "1")


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        (Calls(entry_point="f", cases=(Case(args=(1, "a")), Case(args=(2, "b")))), ("f", 2)),
        (
            Assertions(cases=("assert f(1) == 2", "assert f([2]) is None", "assert g(f(1))")),
            ("f", 2),
        ),
        (
            Assertions(
                code="def check(candidate):\n    assert candidate(1.5) == 2\n    assert candidate",
                cases=("check(f)",),
                entry_point="f",
            ),
            ("f", 1),
        ),
        (Assertions(cases=("assert sorted([1]) == [1]",)), None),
        (Assertions(cases=("this is no Python",)), None),
        (Unittest(code="import unittest"), None),
        (NoTests(), None),
    ],
)
def test_what_tests_call(tests: Any, expected: tuple[str, int] | None) -> None:
    found = examples(tests)
    assert (found and (found.entry_point, len(found.arguments))) == expected


def behaviour(code: str, *given_: tuple[Any, ...]) -> list[str]:
    program = probe(Candidate(task_id="t", code=code), "f", given_)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    last = done.stdout.splitlines()[-1]
    assert last.startswith(MARK)
    return last.removeprefix(MARK).split()


def test_a_probe_tells_what_a_function_does() -> None:
    one = behaviour("def f(x):\n    x.sort(); print('noise'); return x[0]", ([2, 1],), ([],))
    other = behaviour("def f(x):\n    return float(min(x)) if x else None", ([2, 1],), ([],))
    assert one[0] == other[0], "1 and 1.0 are equal"
    assert one[1] == "!IndexError" and other[1] != one[1]


def test_a_probe_does_not_wait_for_ever_and_calls_methods() -> None:
    code = "class Solution:\n    def f(self, x):\n        while x: pass\n        return {3, 1}"
    limits = Candidate(task_id="t", code=code).limits.model_copy(update={"wall_s": 1.0})
    candidate = Candidate(task_id="t", code=code, limits=limits)
    program = probe(candidate, "f", [(1,), (0,)])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()[-1].removeprefix(MARK).split()
    assert first == "!TimeoutError" and not second.startswith("!")
