"""One right row of every format."""

from __future__ import annotations

import json
from typing import Any

_CODE = "def f(x):\n    return x + 1\n"
_CHECK = "def check(candidate):\n    assert candidate(1) == 2\n"
_FUNCTION: dict[str, Any] = {
    "task_id": "T/0",
    "prompt": "def f(x):\n",
    "canonical_solution": "    return x + 1\n",
    "test": _CHECK,
    "entry_point": "f",
}
_IO = {"inputs": ["1\n"], "outputs": ["2\n"]}
_CONTEST: dict[str, Any] = {
    "problem_id": 1,
    "question": "Add one.",
    "solutions": json.dumps([_CODE]),
    "input_output": json.dumps(_IO),
    "difficulty": "introductory",
    "url": "",
    "starter_code": "",
}

ROWS: dict[str, dict[str, Any]] = {
    "native": {
        "task_id": "a",
        "code": _CODE,
        "tests": {"kind": "assertions", "code": _CHECK, "cases": ["check(f)"], "entry_point": "f"},
        "limits": {"wall_s": 2.0, "memory_bytes": 64 << 20},
        "dependencies": ["six==1.16.0"],
        "env": {"A": "b"},
    },
    "humaneval": _FUNCTION,
    "evalplus": {
        **_FUNCTION,
        "contract": "",
        "base_input": [[1]],
        "plus_input": [[2], [3]],
        "atol": 0,
    },
    "humanevalpack": {
        **_FUNCTION,
        "task_id": "Python/0",
        "declaration": "def f(x):\n",
        "buggy_solution": "    return x + 2\n",
        "bug_type": "value misuse",
        "failure_symptoms": "incorrect output",
        "example_test": _CHECK,
        "import": "",
        "test_setup": "",
    },
    "mbpp": {
        "task_id": 2,
        "text": "Add one.",
        "code": _CODE,
        "test_list": ["assert f(1) == 2", "assert f(2) == 3"],
        "test_setup_code": "",
        "challenge_test_list": [],
    },
    "apps": _CONTEST,
    "taco": {**_CONTEST, "time_limit": "2.0 seconds", "memory_limit": "256.0 megabytes"},
    "code_contests": {
        "name": "1_A",
        "description": "Add one.",
        "public_tests": {"input": ["1\n"], "output": ["2\n"]},
        "private_tests": {"input": ["2\n"], "output": ["3\n"]},
        "generated_tests": {"input": ["3\n"], "output": ["4\n"]},
        "solutions": {"language": [3], "solution": [_CODE]},
        "incorrect_solutions": {"language": [3], "solution": [_CODE]},
        "time_limit": {"seconds": 2, "nanos": 0},
        "memory_limit_bytes": 256_000_000,
        "input_file": "",
        "output_file": "",
    },
    "livecodebench": {
        "question_id": "1",
        "question_content": "Add one.",
        "starter_code": "",
        "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}]),
        "private_test_cases": json.dumps([{"input": "2", "output": "3", "testtype": "stdin"}]),
        "metadata": json.dumps({"func_name": "f"}),
        "code_list": [_CODE],
    },
    "bigcodebench": {
        "task_id": "BigCodeBench/0",
        "complete_prompt": "def f(x):\n",
        "instruct_prompt": "",
        "canonical_solution": "    return x + 1\n",
        "test": "import unittest\nclass TestCases(unittest.TestCase):\n"
        "    def test_f(self):\n        self.assertEqual(f(1), 2)\n",
        "entry_point": "f",
    },
    "synthetic1": {
        "problem_id": "vcu_0",
        "source": "x",
        "task_type": "verifiable_code",
        "in_source_id": "1",
        "prompt": "Add one.",
        "gold_standard_solution": f"```python\n{_CODE}```",
        "verification_info": json.dumps(
            {
                "language": "python",
                "test_cases": [
                    {"type": "function_call", "fn_name": "f", "input": [1], "output": [2]}
                ],
            }
        ),
        "metadata": "{}",
        "llm_response": f"```python\n{_CODE}```",
        "response_id": "r",
    },
}

SAMPLES: list[dict[str, Any]] = [
    {"task_id": "T/0", "completion": "    return x + 1\n"},
    {"task_id": "T/0", "solution": _CODE},
    {"question_id": "T/0", "code_list": [_CODE, _CODE]},
]
