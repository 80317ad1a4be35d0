"""HumanEval, HumanEvalPack, MBPP and BigCodeBench, with rows of our own."""

from __future__ import annotations

from typing import Any

import pytest
from small_corpora import Read, candidates, passes, rejected

from hpc_runner.model import Assertions, Unittest

PROBLEM = {
    "task_id": "Mine/0",
    "prompt": 'import math\n\n\ndef area(r):\n    """The area of a circle."""\n',
    "canonical_solution": "    return math.pi * r * r\n",
    "entry_point": "area",
    "test": "def check(candidate):\n    assert round(candidate(1), 2) == 3.14\n",
}
PACK = {
    **PROBLEM,
    "task_id": "Python/0",
    "declaration": "import math\n\n\ndef area(r):\n",
    "buggy_solution": "    return math.pi * r\n",
    "test": "def check(area):\n    assert round(area(2), 2) == 12.57\n\ncheck(area)",
}


def test_humaneval_problems_alone_run_the_canonical_solution(read: Read) -> None:
    (made,) = candidates(read([PROBLEM]))
    assert made.task_id == "Mine/0"
    assert made.code == PROBLEM["prompt"] + PROBLEM["canonical_solution"]
    assert made.tests == Assertions(
        code=PROBLEM["test"], cases=("check(area)",), entry_point="area"
    )
    assert passes(made) == [True]


def test_another_field_can_hold_the_code(read: Read) -> None:
    row = {
        **PROBLEM,
        "model": "def area(r):\n    return 3.1416 * r * r\n",
        "body": "    return 0\n",
    }
    (whole,) = candidates(read([row], code_field="model"))
    assert whole.code == row["model"]
    (body,) = candidates(read([row], code_field="body"))
    assert body.code == PROBLEM["prompt"] + "    return 0\n"
    (error,) = rejected(read([row], code_field="missing"))
    assert error.key == "missing" and "canonical_solution" in error.reason


def test_samples_are_joined_with_their_problems(read: Read) -> None:
    fenced = "```python\ndef area(r):\n    return math.pi * r ** 2\n```"
    items = read(
        [PROBLEM],
        [
            {"task_id": "Mine/0", "completion": "    return math.pi * r**2\n"},
            {"task_id": "Mine/0", "solution": "def area(r):\n    return 1\n"},
            {"task_id": "Mine/0", "completion": fenced},
            {"task_id": "Mine/7", "completion": "    pass\n"},
            {"task_id": "Mine/0"},
            {"task_id": "Mine/0", "completion": 5},
        ],
    )
    bodies, whole, extracted = candidates(items[:3])
    assert passes(bodies) == passes(extracted) == [True]
    assert whole.code == "def area(r):\n    return 1\n"
    errors = rejected(items[3:])
    assert [(error.row, error.key) for error in errors] == [
        (3, "task_id"), (4, "solution"), (5, "completion"),
    ]  # fmt: skip
    assert "'Mine/7' is not among the 1 of" in errors[0].reason


def test_a_problem_given_twice_is_told(read: Read) -> None:
    items = read([PROBLEM, PROBLEM], [{"task_id": "Mine/0", "completion": "    return 0\n"}])
    assert [error.row for error in rejected(items)] == [1]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"entry_point": None}, "entry_point"),
        ({"entry_point": "area(1) or"}, "entry_point"),
        ({"test": 3}, "test"),
        ({"canonical_solution": "    return '\ud800'"}, "canonical_solution"),
        ({"canonical_solution": "    return '\0'"}, "canonical_solution"),
        ({"prompt": "\udcff"}, "prompt"),
        ({"task_id": ""}, "task_id"),
        ({"task_id": ["x"]}, "task_id"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], key: str, read: Read) -> None:
    bad, good = read([{**PROBLEM, **change}, PROBLEM])
    (error,) = rejected([bad])
    assert (error.row, error.key) == (0, key)
    assert candidates([good])


def test_humanevalpack_python_has_two_solutions(read: Read) -> None:
    (right,) = candidates(read([PACK]))
    (wrong,) = candidates(read([PACK], code_field="buggy_solution"))
    assert isinstance(right.tests, Assertions)
    assert right.tests.cases == ("check(area)",)
    assert (passes(right), passes(wrong)) == ([True], [False])


def test_humanevalpack_makes_whole_programs_of_other_languages(read: Read) -> None:
    row = {
        **PACK,
        "task_id": "Go/3",
        "entry_point": "Twice",
        "import": 'import (\n    "strings"\n    "math"\n)\n',
        "test_setup": 'package main\n\nimport (\n    "testing"\n    "math"\n)\n',
        "prompt": 'import (\n    "strings"\n)\nfunc Twice(s string) string {\n',
        "declaration": "\nfunc Twice(s string) string {\n",
        "canonical_solution": "    // math. is not used\n    return strings.Repeat(s, 2)\n}\n",
        "test": "func TestTwice(t *testing.T) {\n    _ = math.Pi\n}\n",
    }
    (made,) = candidates(read([row]))
    assert made.language == "go"
    assert made.code.startswith('package main\n\nimport (\n    "strings"\n)\n')
    assert isinstance(made.tests, Assertions)
    assert made.tests.code.startswith('package main\n\nimport (\n    "math"\n    "testing"\n)\n')
    rust = {**row, "task_id": "Rust/3", "prompt": "fn twice() {\n", "canonical_solution": "}"}
    (made,) = candidates(read([rust]))
    assert (made.language, made.code) == ("rust", "fn main(){}\nfn twice() {\n}")
    (error,) = rejected(read([{**row, "task_id": "Klingon/1"}]))
    assert error.key == "task_id" and "Klingon" in error.reason


def test_each_assertion_of_mbpp_is_a_case(read: Read) -> None:
    full = {
        "task_id": 11,
        "text": "Write a function to square a number.",
        "code": "def helper(x): return x\r\ndef square(x): return helper(x) * x",
        "test_list": ["assert square(2) == BASE", "assert square(3) == 8"],
        "test_setup_code": "BASE = 4",
        "challenge_test_list": ["assert square(0) == 1"],
    }
    (made,) = candidates(read([full]))
    assert made.task_id == "11"
    assert made.tests == Assertions(
        code="BASE = 4\n", cases=tuple(full["test_list"]), entry_point="square"
    )
    assert passes(made) == [True, False]
    sanitized = {
        "task_id": 12,
        "prompt": "p",
        "source_file": "f",
        "code": "def root(x): return x ** 0.5",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(root(2), math.sqrt(2))"],
    }
    (made,) = candidates(read([sanitized]))
    assert passes(made) == [True]
    (error,) = rejected(read([{**sanitized, "test_list": []}]))
    assert error.key == "test_list.cases"
    (error,) = rejected(read([{**sanitized, "test_list": ["x", 3]}]))
    assert error.key == "test_list[1]"


def test_bigcodebench_is_unittest_with_room_to_work(read: Read) -> None:
    row = {
        "task_id": "BigCodeBench/0",
        "complete_prompt": 'import os\ndef task_func(x):\n    """Doc."""\n',
        "code_prompt": "import os\ndef task_func(x):\n",
        "canonical_solution": "    return os.sep * x\n",
        "test": "import unittest\nclass TestCases(unittest.TestCase):\n    pass\n",
        "entry_point": "task_func",
    }
    (made,) = candidates(read([row]))
    assert made.tests == Unittest(code=row["test"])
    assert made.code == row["complete_prompt"] + row["canonical_solution"]
    assert made.limits.memory_bytes == 2 << 30
    sample = {"task_id": "BigCodeBench/0", "solution": "def task_func(x):\n    return os.sep\n"}
    (made,) = candidates(read([row], [sample]))
    assert made.code == row["code_prompt"] + "\n    pass\n" + sample["solution"]
