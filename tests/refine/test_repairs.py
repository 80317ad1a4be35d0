"""What is mended without a model, and what is left alone."""

from __future__ import annotations

import pytest
from made_failures import failed

from hpc_runner.corpus.answers import compiles
from hpc_runner.refine.repairs import REPAIRS, repair

GOOD = "def f(x):\n    return x + 1\n"

BROKEN = {
    "encoding": "\ufeffdef f(x):\u200b\n    return x\u200b + 1\n",
    "escapes": "def f(x):\\n    return x + 1\\n",
    "fences": f"Here you are:\n```python\n{GOOD}```\nIt adds one!",
    "dedent": "    def f(x):\n        return x + 1\n",
    "tabs": "def f(x):\n        y = x\n\treturn y + 1\n",
    "first_line": "import math\n    def f(x):\n        return x + 1\n",
    "typography": "def f(x):\n\u00a0\u00a0\u00a0\u00a0return len(\u201ca\u201d) + x\n",
    "entities": "def f(x):\n    return x if x &gt; 1 &lt; 2 else x + 1\n",
    "prose": f"The function adds one to x.\n{GOOD}\nI hope this helps you!\n",
}


@pytest.mark.parametrize("name", REPAIRS)
def test_each_repair_has_its_occasion(name: str) -> None:
    found = repair(failed(BROKEN[name], verdict="compile_error", error_type="SyntaxError"))
    assert found is not None
    assert found.names == (name,)
    assert compiles(found.code)
    assert "def f(x):" in found.code


def test_several_are_made_in_a_row_and_named() -> None:
    code = "\ufeff```python\n    def f(x):\n        return \u201ca\u201d\n```"
    found = repair(failed(code, verdict="compile_error", error_type="SyntaxError"))
    assert found is not None
    assert set(found.names) == {"encoding", "fences", "dedent", "typography"}


def test_no_line_of_code_is_taken_for_prose() -> None:
    code = "Here is f.\ndef f(x):\n    y = x\n   return y + 1\n"
    assert repair(failed(code, verdict="compile_error", error_type="IndentationError")) is None


@pytest.mark.parametrize("code", ["def f(x:\n", "", "``` ```", "Sorry!", "ok"])
def test_what_does_not_compile_afterwards_is_left_to_the_model(code: str) -> None:
    assert repair(failed(code, verdict="compile_error", error_type="SyntaxError")) is None


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("math", "import math"),
        ("deque", "from collections import deque"),
        ("List", "from typing import List"),
    ],
)
def test_a_missing_import_of_the_standard_library_is_added(name: str, statement: str) -> None:
    code = f'"""Doc."""\nfrom __future__ import annotations\n\ndef f(x):\n    return {name}\n'
    message = f"name '{name}' is not defined"
    found = repair(
        failed(code, verdict="runtime_error", error_type="NameError", error_message=message)
    )
    assert found is not None
    assert found.names == (f"import {name}",)
    lines = found.code.splitlines()
    assert lines[:3] == ['"""Doc."""', "from __future__ import annotations", statement]
    assert compiles(found.code)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def f(x):\n    return numpy.array(x)\n", "numpy"),
        ("def f(x):\n    return np.array(x)\n", "np"),
        ("def f(x):\n    return total\n", "total"),
        ("def f(x):\n    if x:\n        math = 3\n    return math\n", "math"),
        ("def g(queue):\n    return 1\n\ndef f(x):\n    return queue\n", "queue"),
    ],
)
def test_a_name_that_may_mean_something_else_is_left_to_the_model(code: str, name: str) -> None:
    message = f"name '{name}' is not defined"
    failure = failed(code, verdict="runtime_error", error_type="NameError", error_message=message)
    assert repair(failure) is None


@pytest.mark.parametrize("verdict", ["wrong_answer", "runtime_error", "time_limit", "early_exit"])
def test_a_program_that_ran_is_left_alone(verdict: str) -> None:
    code = f"```python\n{GOOD}```"
    assert repair(failed(code, verdict=verdict, error_type="ValueError")) is None


def test_only_python_is_repaired() -> None:
    code = BROKEN["fences"]
    failure = failed(code, language="rust", verdict="compile_error", error_type="SyntaxError")
    assert repair(failure) is None
