"""APPS, TACO, CodeContests and SYNTHETIC-1, with rows of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from small_corpora import Read, candidates, passes, rejected

from hpc_runner.model import Calls, Case, Stdio, StdioCase

SUM = "a, b = map(int, input().split())\nprint(a + b)\n"
STDIN = {"inputs": ["1 2\n", ["3 4", ""]], "outputs": ["3\n", ["7"]]}
APPS: dict[str, Any] = {
    "problem_id": 7,
    "question": "Add.",
    "solutions": json.dumps([SUM, "print(3)"]),
    "input_output": json.dumps(STDIN),
    "difficulty": "interview",
    "url": "https://example.org",
    "starter_code": "",
}


def test_each_solution_of_apps_is_a_candidate(read: Read) -> None:
    first, second = candidates(read([APPS]))
    assert first.task_id == second.task_id == "7"
    assert first.code.endswith(SUM)
    assert first.tests == Stdio(
        cases=(StdioCase(stdin="1 2\n", stdout="3\n"), StdioCase(stdin="3 4\n", stdout="7")),
        checker="tokens",
        tolerance=1e-5,
    )


def test_decimals_in_what_is_expected_ask_for_a_tolerance(read: Read) -> None:
    io = json.dumps({"inputs": ["1"], "outputs": ["0.50\n"]})
    made = candidates(read([{**APPS, "input_output": io}]))[0]
    assert isinstance(made.tests, Stdio) and made.tests.checker == "floats"
    io = json.dumps({"inputs": ["1"], "outputs": ["The end.\n"]})
    made = candidates(read([{**APPS, "input_output": io}]))[0]
    assert isinstance(made.tests, Stdio) and made.tests.checker == "tokens"


@pytest.mark.parametrize(
    ("outputs", "starter", "expected"),
    [
        ([[3], [7]], "def add(a, b):\n", [3, 7]),
        ([[3], [7]], "class Solution:\n    def add(self, a, b) -> List[int]:\n", [[3], [7]]),
        ([[3], [7, 8]], "", [[3], [7, 8]]),
        ([3, 7], "", [3, 7]),
        ([[[3]], [[7]]], "", [[3], [7]]),
    ],
)
def test_results_of_apps_are_taken_out_of_their_lists(
    outputs: list[Any], starter: str, expected: list[Any], read: Read
) -> None:
    io = json.dumps({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": outputs})
    row = {**APPS, "input_output": io, "starter_code": starter, "solutions": ["def add(a, b): 0"]}
    (made,) = candidates(read([row]))
    assert made.tests == Calls(
        entry_point="add",
        cases=(Case(args=(1, 2), expected=expected[0]), Case(args=(3, 4), expected=expected[1])),
    )


def test_names_that_the_site_promises_are_there(read: Read) -> None:
    code = (
        "class Solution:\n"
        "    def top(self, xs: List[int]) -> Optional[int]:\n"
        "        return pow(heapq.nlargest(1, xs)[0], 2, 10) if Counter(xs) else inf\n"
    )
    io = json.dumps({"fn_name": "top", "inputs": [[[3, 9]]], "outputs": [1]})
    (made,) = candidates(read([{**APPS, "input_output": io, "solutions": [code]}]))
    assert passes(made) == [True]
    future = "from __future__ import annotations\n" + code
    (made,) = candidates(read([{**APPS, "input_output": io, "solutions": [future]}]))
    assert made.code == future


@pytest.mark.parametrize(
    ("time_limit", "memory_limit", "wall_s", "memory_bytes"),
    [
        ("2.0 seconds", "256.0 megabytes", 2.0, 256 << 20),
        ("1 second", "64 MB", 1.0, 64 << 20),
        ("0.5 - 1.5 seconds", "1 gigabyte", 1.5, 1 << 30),
        ("500 ms", "65536 kilobytes", 0.5, 64 << 20),
        (None, None, 10.0, 256 << 20),
        ("", "", 10.0, 256 << 20),
    ],
)
def test_limits_of_taco(
    time_limit: str | None,
    memory_limit: str | None,
    wall_s: float,
    memory_bytes: int,
    read: Read,
) -> None:
    row = {**APPS, "time_limit": time_limit, "memory_limit": memory_limit}
    del row["problem_id"]
    items = candidates(read([row, row]))
    assert [item.task_id for item in items] == ["task/0", "task/0", "task/1", "task/1"]
    assert items[0].limits.wall_s == wall_s
    assert items[0].limits.memory_bytes == memory_bytes


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"input_output": ""}, "input_output"),
        ({"input_output": "{"}, "input_output"),
        ({"input_output": "[]"}, "input_output"),
        ({"input_output": {"inputs": ["1"], "outputs": []}}, "input_output"),
        ({"input_output": {"inputs": [], "outputs": []}}, "input_output"),
        ({"input_output": {"inputs": "1", "outputs": "1"}}, "input_output.inputs"),
        ({"input_output": {"inputs": [None], "outputs": ["1"]}}, "input_output.inputs[0]"),
        (
            {"input_output": {"fn_name": "f", "inputs": [1], "outputs": [1]}},
            "input_output.inputs[0]",
        ),
        (
            {"input_output": {"fn_name": "f(", "inputs": [[1]], "outputs": [1]}},
            "input_output.fn_name",
        ),
        (
            {"input_output": '{"inputs": ["\\ud800"], "outputs": ["1"]}'},
            "input_output.inputs[0]",
        ),
        ({"solutions": ""}, "solutions"),
        ({"solutions": "[]"}, "solutions"),
        ({"solutions": '["x", 1]'}, "solutions[1]"),
        ({"solutions": ["x\0"]}, "solutions[0]"),
        ({"solutions": ["  "]}, "solutions[0]"),
        ({"time_limit": "soon"}, "time_limit"),
        ({"time_limit": "0 seconds"}, "time_limit.wall_s"),
        ({"memory_limit": "3 bytes"}, "memory_limit.memory_bytes"),
        ({"memory_limit": 7}, "memory_limit"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], key: str, read: Read) -> None:
    (error,) = rejected(read([{**APPS, **change}], format="taco"))
    assert (error.row, error.key) == (0, key)


def test_one_bad_solution_leaves_the_others(read: Read) -> None:
    good, bad, also = read([{**APPS, "solutions": [SUM, "\0", SUM]}])
    assert [error.key for error in rejected([good, bad, also])] == ["solutions[1]"]


CONTEST: dict[str, Any] = {
    "name": "76_B. Mice",
    "description": "Add.",
    "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
    "private_tests": {"input": ["3 4\n"], "output": ["7\n"]},
    "generated_tests": {"input": [], "output": []},
    "solutions": {
        "language": [1, 2, 3, 4],
        "solution": ["print 3", "int main(){}", SUM, "class A"],
    },
    "incorrect_solutions": [{"language": "PYTHON3", "solution": "print(0)"}],
    "time_limit": {"seconds": 1, "nanos": 500_000_000},
    "memory_limit_bytes": 64_000_000,
    "input_file": "",
    "output_file": "",
}


def test_code_contests_gives_python_3_unless_told(read: Read) -> None:
    (made,) = candidates(read([CONTEST]))
    assert (made.language, made.code) == ("python", SUM)
    assert made.limits.wall_s == 1.5
    assert made.limits.memory_bytes == 64_000_000
    assert isinstance(made.tests, Stdio)
    assert [case.stdin for case in made.tests.cases] == ["1 2\n", "3 4\n"]
    every = candidates(read([CONTEST], code_field="solutions:all"))
    assert [made.language for made in every] == ["python2", "cpp", "python", "java"]
    (cpp,) = candidates(read([CONTEST], code_field="solutions:c++"))
    assert (cpp.language, cpp.code) == ("cpp", "int main(){}")
    (wrong,) = candidates(read([CONTEST], code_field="incorrect_solutions"))
    assert wrong.code == "print(0)"


def test_tests_of_code_contests_can_be_a_list_of_objects(read: Read) -> None:
    row = {**CONTEST, "public_tests": [{"input": "1", "output": "2.5"}], "time_limit": 3}
    (made,) = candidates(read([row]))
    assert isinstance(made.tests, Stdio) and made.tests.checker == "floats"
    assert made.limits.wall_s == 3


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"input_file": "in.txt"}, "input_file"),
        ({"output_file": "out.txt"}, "output_file"),
        ({"public_tests": {"input": ["1"], "output": []}}, "public_tests"),
        ({"public_tests": {"input": [1], "output": ["1"]}}, "public_tests[0]"),
        ({"public_tests": [], "private_tests": []}, "public_tests"),
        ({"solutions": {"language": [2], "solution": ["int"]}}, "solutions"),
        ({"solutions": None}, "solutions"),
        ({"solutions": {"language": [3], "solution": [None]}}, "solutions[0]"),
        ({"time_limit": "1 s"}, "time_limit"),
        ({"memory_limit_bytes": 5}, "memory_limit.memory_bytes"),
        ({"memory_limit_bytes": "5"}, "memory_limit_bytes"),
    ],
)
def test_a_bad_field_of_code_contests_is_named(
    change: dict[str, Any], key: str, read: Read
) -> None:
    (error,) = rejected(read([{**CONTEST, **change}]))
    assert error.key == key


def synthetic(info: object, **fields: Any) -> dict[str, Any]:
    return {
        "problem_id": "vcp_1",
        "task_type": "verifiable_code",
        "prompt": "Add.",
        "gold_standard_solution": f"```python\n{SUM}```",
        "verification_info": info if isinstance(info, str) else repr(info),
        **fields,
    }


STDIN_INFO = {
    "language": "python",
    "test_cases": [{"fn_name": None, "type": "stdin_stdout", "input": "1 2\n", "output": "3\n"}],
}
CALL_INFO = {
    "language": "python",
    "test_cases": [{"fn_name": "add", "type": "function_call", "input": [1, 2], "output": [3]}],
}


@pytest.mark.parametrize("info", [STDIN_INFO, json.dumps(STDIN_INFO)])
def test_synthetic1_is_python_literals_or_json(info: object, read: Read) -> None:
    (made,) = candidates(read([synthetic(info)]))
    assert made.code == SUM
    assert made.tests == Stdio(cases=(StdioCase(stdin="1 2\n", stdout="3\n"),), checker="tokens")


def test_a_response_counts_before_the_standard_solution(read: Read) -> None:
    answer = "<think>hm</think>So:\n```python\ndef add(a, b):\n    return a + b\n```\n"
    (made,) = candidates(read([synthetic(CALL_INFO, llm_response=answer)]))
    assert made.tests == Calls(entry_point="add", cases=(Case(args=(1, 2), expected=3),))
    assert passes(made) == [True]


@pytest.mark.parametrize(
    ("info", "key"),
    [
        ({"ground_truth": "4"}, "verification_info"),
        ("__import__('os').getpid()", "verification_info"),
        ("[1, 2", "verification_info"),
        ("[" * 10_000, "verification_info"),
        ("{'test_cases': [{'type': 'function_call', 'fn_name': 'f', 'input': [{1}]}]}",
         "verification_info.test_cases[0].input[0]"),
        ("{'test_cases': [{'type': 'function_call', 'fn_name': 'f', 'input': [{1: 2}]}]}",
         "verification_info.test_cases[0].input[0]"),
        ("{'test_cases': [{'type': 'function_call', 'fn_name': [], 'input': []}]}",
         "verification_info.fn_name"),
        ("{'test_cases': [{'type': 'function_call', 'fn_name': 'f', 'input': [0x1" + "0" * 9000
         + "]}]}", "verification_info.test_cases[0].input[0]"),
        ("[1]", "verification_info"),
        ({"test_cases": []}, "verification_info"),
        ({"test_cases": [3]}, "verification_info.test_cases[0]"),
        ({"test_cases": [*STDIN_INFO["test_cases"], *CALL_INFO["test_cases"]]},
         "verification_info.test_cases"),
        ({"language": "klingon", "test_cases": []}, "verification_info.language"),
        ("{'test_cases': [{'type': 'stdin_stdout', 'input': '\\ud800', 'output': ''}]}",
         "verification_info.test_cases[0].input"),
    ],
)  # fmt: skip
def test_a_bad_field_of_synthetic1_is_named(info: object, key: str, read: Read) -> None:
    (error,) = rejected(read([synthetic(info)]))
    assert error.key == key
