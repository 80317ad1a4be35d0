"""EvalPlus: expected values come from the reference, compared as its evaluator does."""

from __future__ import annotations

from typing import Any

import pytest
from small_corpora import Read, candidates, passes, rejected

from hpc_runner.model import Assertions

ROW: dict[str, Any] = {
    "task_id": "HumanEval/900",
    "prompt": 'def scale(xs, k):\n    """Scales."""\n',
    "entry_point": "scale",
    "canonical_solution": "    xs.append(1)\n    print('noise')\n    return [x * k for x in xs]\n",
    "contract": "    assert k\n",
    "base_input": [[[1, 2], 3]],
    "plus_input": [[[0.1, 0.2], 3], [[], 2]],
    "atol": 0,
}


def outcomes(read: Read, row: dict[str, Any], solution: str) -> list[bool]:
    sample = {"task_id": row["task_id"], "solution": solution}
    return passes(candidates(read([row], [sample]))[0])


def test_each_input_is_a_case_and_the_reference_passes_all(read: Read) -> None:
    (made,) = candidates(read([ROW]))
    assert isinstance(made.tests, Assertions)
    assert made.tests.entry_point == "scale"
    assert passes(made) == [True, True, True]


def test_floats_have_a_tolerance_and_other_values_do_not(read: Read) -> None:
    near = "def scale(xs, k): return [x * k + 1e-7 for x in [*xs, 1]]"
    assert outcomes(read, ROW, near) == [False, False, False]
    floats = {**ROW, "canonical_solution": "    return [x * k * 1.0 for x in xs]\n"}
    near = "def scale(xs, k): return [x * k + 1e-7 for x in xs]"
    assert outcomes(read, floats, near) == [True, True, True]
    far = "def scale(xs, k): return [x * k + 1e-4 for x in xs]"
    assert outcomes(read, floats, far) == [False, False, True]
    assert outcomes(read, {**floats, "atol": 1e-3}, far) == [True, True, True]


def test_the_type_counts_where_values_are_near(read: Read) -> None:
    floats = {**ROW, "canonical_solution": "    return [x * k * 1.0 for x in xs]\n"}
    other = "def scale(xs, k): return tuple(x * k for x in xs)"
    assert outcomes(read, floats, other) == [False, False, False]


def test_a_candidate_that_changes_its_input_doesnt_change_what_is_expected(read: Read) -> None:
    clearing = (
        "def scale(xs, k):\n    ys = [*xs, 1]\n    xs.clear()\n    return [y * k for y in ys]"
    )
    assert outcomes(read, ROW, clearing) == [True, True, True]


def test_a_root_is_any_root(read: Read) -> None:
    row = {
        **ROW,
        "entry_point": "find_zero",
        "prompt": "def find_zero(xs):\n",
        "canonical_solution": "    return -1.0\n",
        "base_input": [[[1, 2, 1]], [[-1, 0, 1]]],
        "plus_input": {},
        "atol": 1e-4,
    }
    assert outcomes(read, row, "def find_zero(xs): return -1.0") == [True, True]
    assert outcomes(read, row, "def find_zero(xs): return 1.0") == [False, True]


@pytest.mark.parametrize(
    ("number", "args", "seen"),
    [
        (2, [[1, 2], [3]], "((1, 2), (3,))"),
        (63, [[[1, 2], [3, 4]]], "([(1, 2), (3, 4)],)"),
        (75, [[[1, 2]], 3], "([(1, 2)], 3)"),
        (106, [[1], [2]], "([1], (2,))"),
        (115, [[[1], []]], "([{1}, {}],)"),
        (124, ["1.5", "1j"], "(1.5, 1j)"),
        (252, ["1+2j"], "((1+2j),)"),
        (259, [[[1, 2]], [[3]]], "(((1, 2),), ((3,),))"),
        (307, [[1, [2]], 1, 2], "((1, [2]), 1, 2)"),
        (580, [[1, [2, [3]]]], "((1, (2, (3,))),)"),
        (722, [{"a": [1]}, 2.0], "({'a': (1,)}, 2.0)"),
        (999, [[1, [2]]], "([1, [2]],)"),
    ],
)
def test_mbpp_inputs_get_their_python_types_back(
    number: int, args: list[Any], seen: str, read: Read
) -> None:
    row = {
        **ROW,
        "task_id": f"Mbpp/{number}",
        "prompt": '"""Shows."""\n',
        "entry_point": "show",
        "canonical_solution": "def show(*args): return repr(args)\n",
        "base_input": [args],
        "plus_input": {},
    }
    assert outcomes(read, row, f"def show(*args): return {seen!r}") == [True]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("similar_elements", "(2, 1)", "(1,)"),
        ("sum_div", "0", "7"),
        ("text_match_three", "'a match'", "None"),
        ("digit_distance_nums", "1", "5"),
        ("surface_Area", "35", "50"),
    ],
)
def test_tasks_with_more_than_one_right_answer(
    name: str, right: str, wrong: str, read: Read
) -> None:
    returns = "[1, 2]" if name == "similar_elements" else "'m'" if "text" in name else "3"
    row = {
        **ROW,
        "task_id": "Mbpp/9999",
        "prompt": "",
        "entry_point": name,
        "canonical_solution": f"def {name}(a, b): return {returns}\n",
        "base_input": [[3, 4]],
        "plus_input": [],
    }
    assert outcomes(read, row, f"def {name}(a, b): return {right}") == [True]
    assert outcomes(read, row, f"def {name}(a, b): return {wrong}") == [False]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"base_input": [], "plus_input": []}, "base_input"),
        ({"base_input": [1]}, "base_input[0]"),
        ({"plus_input": "]"}, "plus_input"),
        ({"atol": "small"}, "atol"),
        ({"atol": float("nan")}, "atol"),
        ({"canonical_solution": None}, "canonical_solution"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], key: str, read: Read) -> None:
    (error,) = rejected(read([{**ROW, **change}], format="evalplus"))
    assert error.key == key


def test_inputs_are_data(read: Read) -> None:
    hostile = "'''\"\"\"\\N{};import os#"
    row = {**ROW, "canonical_solution": "    return xs\n", "base_input": [[hostile, "{x}"]]}
    (made,) = candidates(read([row]))
    assert passes(made) == [True, True, True]
