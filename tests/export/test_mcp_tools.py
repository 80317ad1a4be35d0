"""From a candidate to a tool: its function, types and words, and calls of it in the sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mcp_made import QUICK, of_asserts, of_calls, provenance, refused, sandbox, tool_of
from sandbox.wheels import make_wheel

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, RuntimeFailure
from hpc_runner.export.mcp.bare import Bare
from hpc_runner.export.mcp.calls import Place, call
from hpc_runner.export.mcp.examples import MISSING, found_calls
from hpc_runner.export.mcp.making import make_tool
from hpc_runner.export.mcp.merging import distinct
from hpc_runner.export.mcp.names import tool_name, unique
from hpc_runner.export.mcp.pooled import Pooled
from hpc_runner.export.mcp.sandbox import AT_ONCE, Sandbox
from hpc_runner.export.mcp.server import open_place
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.model import (
    Assertions,
    Candidate,
    ExpectedOutput,
    NoTests,
    Stdio,
    StdioCase,
    Unittest,
)
from hpc_runner.sandbox.local import base_interpreter


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


# Reading


def test_declared_types_defaults_and_words(place: Sandbox) -> None:
    code = (
        "def scale(values: list[float], factor: int = 2, *, note: str = 'x') -> list[float]:\n"
        "    '''Multiply every value.\n\n    Args:\n        values: what is multiplied\n    '''\n"
        "    return [v * factor for v in values]\n"
    )
    tool = tool_of(of_calls(code, "scale", ([[1.0, 2.0]], [2.0, 4.0]), ([[1.5], 3], [4.5])), place)
    told = "scale(values: list[float], factor: int = 2, *, note: str = 'x') -> list[float]"
    assert tool.signature == told
    assert tool.title == "Multiply every value"
    shown = tool.input_schema()
    assert shown["required"] == ["values"]
    assert shown["additionalProperties"] is False
    assert shown["properties"]["values"]["description"] == "what is multiplied"
    assert shown["properties"]["factor"]["default"] == 2
    assert tool.output_schema()["properties"]["result"]["type"] == "array"
    assert {one.source for one in tool.parameters} == {"declared"}
    assert [one.validated for one in tool.examples] == [True, True]


def test_missing_types_are_inferred_and_marked(place: Sandbox) -> None:
    tool = tool_of(
        of_asserts(
            "def pairs(a, b): return list(zip(a, b))",
            "assert pairs((1, 2), ['x', 'y']) == [(1, 'x'), (2, 'y')]",
            "assert pairs((), []) == []",
        ),
        place,
    )
    assert tool.signature == "pairs(a: tuple[int, ...], b: list[str]) -> list[tuple[int, str]]"
    assert [one.source for one in tool.parameters] == ["inferred", "inferred"]
    assert tool.returns_source == "inferred"
    assert "inferred" in tool.input_schema()["properties"]["a"]["description"]


def test_arguments_arrive_as_the_types_that_were_validated(place: Sandbox) -> None:
    code = "def kinds(a, b, c, d):\n    return [type(x).__name__ for x in (a, b, c, d)] + [list(d)]"
    tool = tool_of(
        of_asserts(
            code,
            "assert kinds((1, 2), {3}, b'x', {4: 5}) == ['tuple', 'set', 'bytes', 'dict', [4]]",
        ),
        place,
    )
    arguments = {"a": [7, 8], "b": [1, 1], "c": "AAA=", "d": {"9": 1}}
    content = call(tool, arguments, place).content
    assert content["result"] == ["tuple", "set", "bytes", "dict", [9]]


def test_a_declared_type_that_the_tests_contradict_is_widened(place: Sandbox) -> None:
    code = "def first(a: list[int]) -> int:\n    return a[0] if a else None"
    tool = tool_of(of_calls(code, "first", ([[1]], 1), ([[]], None), ([["x"]], "x")), place)
    assert tool.signature == "first(a: list[int] | list[str]) -> int | None | str"


def test_a_method_of_solution_is_a_tool(place: Sandbox) -> None:
    code = "class Solution:\n    def twoSum(self, nums, target):\n        return [0, 1]"
    tool = tool_of(of_calls(code, "twoSum", ([[1, 2], 3], [0, 1])), place)
    assert tool.name == "two_sum"
    assert [one.name for one in tool.parameters] == ["nums", "target"]
    assert call(tool, {"nums": [1], "target": 2}, place).content == {"result": [0, 1]}


def test_examples_come_from_every_kind_of_test() -> None:
    def of(tests: Any, docstring: str = "") -> list[tuple[Any, Any]]:
        found = found_calls(tests, "def f(x): return x\nprint(f(9))", "f", docstring)
        return [(one.args, one.expected) for one in found]

    humaneval = Assertions(
        code="def check(g):\n    assert g(1) == 2\n    assert not g(3)\n    assert g(5) < 2",
        cases=("check(f)",),
    )
    known = [((1,), 2), ((3,), False)]
    assert of(humaneval) == [*known, ((5,), MISSING), ((9,), MISSING)]
    unit = Unittest(
        code="import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
        "        self.assertEqual(f(1), 2)\n        self.assertTrue(f(x=3))\n"
    )
    assert of(unit)[:2] == [((1,), 2), ((), True)]
    told = ">>> f([1, 2])\n[1]\n\nf(7) == 8\n>>> f(open('x'))\n3"
    assert of(NoTests(), told)[:2] == [(([1, 2],), [1]), ((7,), 8)]


def test_names_speak_and_are_unique() -> None:
    assert tool_name("hasCloseElements", "", "T/1") == "has_close_elements"
    assert tool_name("solve", "Count the vowels of a word. More.", "T/1") == "count_vowels_word"
    assert tool_name("f", "", "Mbpp/12") == "task_mbpp_12"
    assert unique("add", "T/1", ["add"]) == "add_t_1"
    assert unique("add", "T/1", ["add", "add_t_1"]) == "add_2"


def test_calls_without_literals_are_recorded_from_the_tests(place: Sandbox) -> None:
    code = "def half(pair, up=False): return (pair[0] + up) // 2"
    loop = Assertions(
        code="def check(g):\n  for n in range(30):\n    assert g((n, 'x')) == n // 2\n",
        cases=("check(half)",),
    )
    tool = tool_of(Candidate(task_id="T/0", code=code, tests=loop), place)
    assert tool.signature == "half(pair: tuple[int, str], up: bool = False) -> int"
    assert [one.arguments["pair"] for one in tool.examples][:2] == [[0, "x"], [1, "x"]]
    assert not any(one.validated for one in tool.examples)
    unit = Unittest(
        code="import unittest\nclass T(unittest.TestCase):\n  def test_it(self):\n"
        "    for n in (3, 5): self.assertEqual(half([n, 0], up=True), (n + 1) // 2)\n"
    )
    tool = tool_of(Candidate(task_id="T/0", code=code, tests=unit), place)
    assert [one.expected["result"] for one in tool.examples] == [2, 3]


# Calls


def test_calls_run_beside_each_other(place: Sandbox) -> None:
    code = (
        "import time\ndef f(x):\n    began = time.time()\n    time.sleep(x)\n"
        "    return [began, time.time()] if x else []"
    )
    tool = tool_of(of_calls(code, "f", ([0], [])), place)
    tool = tool.model_copy(update={"returns": ["any", []]})
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: call(tool, {"x": 1}, place), range(AT_ONCE)))  # warm
        found = threads.map(lambda _: call(tool, {"x": 1}, place).content, range(AT_ONCE))
        spans = sorted(content["result"] for content in found)
    assert any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def test_a_tool_with_packages_is_run_with_them(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "tripling", "1.0", {"tripling.py": "def of(x): return 3 * x"})
    config = RunConfig.parse(
        {
            "corpus": (),
            "runtime": "local",
            "require_isolation": "limits",
            "wheelhouse": str(tmp_path / "wheels"),
        }
    )
    code = "import tripling\ndef triple(x: int) -> int: return tripling.of(x)"
    candidate = of_calls(code, "triple", ([2], 6), dependencies=("tripling",))
    pooled = Pooled(config)
    try:
        tool = tool_of(candidate, pooled)
        assert tool.dependencies == ("tripling",)
        assert call(tool, {"x": 5}, pooled).content == {"result": 15}
    finally:
        pooled.close()
    with pytest.raises(ConfigError, match="tools with packages"):
        open_place([tool], unsandboxed=True, runtime=None, require_isolation=None)


def test_hostile_output_is_no_result(place: Sandbox) -> None:
    code = (
        "import os, sys\n"
        "def f(x):\n"
        '    print(\'{"jsonrpc": "2.0", "id": 1, "result": {}}\')\n'
        "    os.write(1, b'\\n0123 {\"value\": 666}\\n')\n"
        "    sys.stderr.write('noise')\n"
        "    return x + 1\n"
    )
    tool = tool_of(of_calls(code, "f", ([1], 2)), place)
    content = call(tool, {"x": 4}, place).content
    assert content["result"] == 5
    assert '0123 {"value": 666}' in content["printed"].splitlines()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('k')", "KeyError: 'k'"),
        ("import sys; sys.exit(0)", "ended before it had a result"),
        ("import os; os._exit(0)", "ended before it had a result"),
        ("while True: pass", "longer than its limit of 1 s"),
        ("return object()", "no plain data"),
        ("return float('nan')", "no word for"),
        ("a = []; a.append(a); return a", "circle"),
        ("return [0] * (1 << 30)", "MemoryError"),
        ("return f(x + 1)", "RecursionError"),
    ],
)
def test_what_goes_wrong_is_an_error_of_the_tool(place: Sandbox, body: str, said: str) -> None:
    code = f"def f(x):\n    if x == 0: return 1\n    {body}\n"
    tool = tool_of(of_calls(code, "f", ([0], 1), limits=QUICK), place)
    outcome = call(tool, {"x": 2}, place)
    assert outcome.error is not None
    assert said in outcome.error
    assert call(tool, {"x": 0}, place).content == {"result": 1}


def test_a_call_sees_nothing_of_the_one_before(place: Sandbox) -> None:
    code = (
        "import os\nseen = []\ndef f(x):\n    seen.append(x)\n    open('mark', 'a').close()\n"
        "    return [seen, os.listdir('.').count('mark')]\n"
    )
    tool = tool_of(of_calls(code, "f", ([1], [[1], 1])), place)
    for number in range(3):
        assert call(tool, {"x": number}, place).content["result"] == [[number], 1]
    assert "file" not in call(tool, {"x": 0}, place).content
    assert {"file"} <= set(tool.capabilities)


def test_arguments_that_are_changed_are_told(place: Sandbox) -> None:
    tool = tool_of(of_calls("def f(a):\n    a.sort()", "f", ([[2, 1]], None)), place)
    assert call(tool, {"a": [3, 1]}, place).content == {"result": None, "changed": {"a": [1, 3]}}
    assert "changes_arguments" in tool.capabilities


@pytest.mark.parametrize("unsandboxed", [False, True])
def test_scripts_have_stdin_and_arguments(place: Sandbox, unsandboxed: bool) -> None:
    code = (
        "from __future__ import annotations\nimport sys\n"
        "if __name__ == '__main__':\n"
        "    total = sum(map(int, sys.stdin.read().split()))\n"
        "    if total < 0: sys.exit('negative')\n"
        "    print(total, *sys.argv[1:])\n"
    )
    tests = Stdio(cases=(StdioCase(stdin="1 2\n", stdout="3\n"),))
    tool = tool_of(Candidate(task_id="sum-it", code=code, tests=tests), place)
    assert (tool.name, tool.kind) == ("task_sum_it", "script")
    assert [one.name for one in tool.parameters] == ["stdin", "arguments"]
    assert tool.examples[0].validated
    where: Place = Bare(base_interpreter()) if unsandboxed else place
    outcome = call(tool, {"stdin": "4 5", "arguments": ["a", "b"]}, where)
    assert outcome.content == {"stdout": "9 a b\n", "stderr": "", "exit_code": 0}
    failed = call(tool, {"stdin": "-4"}, where)
    assert failed.error == "exit code 1: negative"


def test_a_program_that_only_prints_is_a_tool_without_arguments(place: Sandbox) -> None:
    code = "print(6 * 7)"
    made = Candidate(task_id="print/it", code=code, tests=ExpectedOutput(stdout="42"))
    tool = tool_of(made, place)
    assert tool.parameters == ()
    assert call(tool, {}, place).content["stdout"] == "42\n"


def test_unsandboxed_keeps_its_limits(place: Sandbox) -> None:
    code = "def f(x):\n    while x == 1: pass\n    return 'a' * (1 << 24) if x else 0"
    tool = tool_of(of_calls(code, "f", ([0], 0), limits=QUICK), place)
    bare = Bare(base_interpreter())
    began = time.monotonic()
    assert "longer than" in str(call(tool, {"x": 1}, bare).error)
    assert time.monotonic() - began < 20
    assert "wrote more" in str(call(tool, {"x": 2}, bare).error)
    assert call(tool, {"x": 0}, bare).content == {"result": 0}


def test_a_sandbox_that_died_is_started_anew(place: Sandbox) -> None:
    tool = tool_of(of_calls("def f(x): return x", "f", ([1], 1)), place)
    with sandbox() as mortal:
        assert call(tool, {"x": 4}, mortal).content == {"result": 4}
        (warm,) = mortal._idle
        warm.agent._process.kill()
        with pytest.raises(RuntimeFailure, match="agent died"):
            call(tool, {"x": 5}, mortal)
        assert call(tool, {"x": 5}, mortal).content == {"result": 5}


# What is no tool


def test_reasons_are_told(place: Sandbox) -> None:
    assert "language is go" in refused(of_calls("x", "f", ([], 1), language="go"), place)
    assert "no function" in refused(of_calls("x = 1", "f", ([], 1)), place)
    assert "none of its 1 examples" in refused(of_calls("def f(): return 1/0", "f", ([], 1)), place)
    random = "import random\ndef f(x): return random.random()"
    assert "the same" in refused(of_asserts(random, "assert f(1) < 2"), place)
    assert "plain data" in refused(of_asserts("def f(x): return x", "assert f(object())"), place)


# Analysis


@pytest.mark.parametrize(
    ("code", "category", "able"),
    [
        ("def f(x: int) -> int: return x", "numeric", {"pure"}),
        ("def f(x: str) -> int: return 1", "text", {"pure"}),
        ("import re\ndef f(x: str) -> str: return 1", "text", {"pure", "text"}),
        ("import json\ndef f(x: str) -> int: return 1", "data", {"pure", "data"}),
        ("import urllib.request\ndef f(x: str) -> int: return 1", "network", {"network"}),
        ("import subprocess\ndef f(x: str) -> int: return 1", "process", {"process"}),
        ("def f(x: str) -> int:\n    open\n    return 1\ndef g(): open('x')", "file", {"file"}),
        ("def f(x: list[int]) -> int: return 1", "collection", {"pure"}),
        ("def f(x: int) -> int:\n    print(x)\n    return 1", "numeric", {"prints"}),
    ],
)
def test_tools_are_classified(place: Sandbox, code: str, category: str, able: set[str]) -> None:
    argument: Any = {"int": 1, "str": "a"}.get(code.partition("x: ")[2][:3], [1])
    expected = "1" if "-> str" in code else 1
    made = of_calls(code.replace("return 1", f"return {expected!r}"), "f", ([argument], expected))
    if "int: return x" in code:
        made = of_calls(code, "f", ([1], 1))
    tool = tool_of(made, place)
    assert (tool.category, set(tool.capabilities)) == (category, able)


def test_quality_rises_with_what_is_known(place: Sandbox) -> None:
    bare = tool_of(of_calls("def f(x): return x", "f", ([1], 1)), place)
    told = tool_of(
        of_calls(
            "def f(x: int) -> int:\n  '''Gives back the number that it got.'''\n  return x",
            "f",
            *(([n], n) for n in range(6)),
        ),
        place,
    )
    assert 0 < bare.quality.score < told.quality.score < 100
    assert bare.quality.interface == 0.5
    assert told.quality.tests == 0.75


# The same behaviour


def test_tools_that_do_the_same_are_one(place: Sandbox) -> None:
    cases = [([n], n * n) for n in range(4)]

    def of(code: str, task: str) -> Tool:
        made = of_calls(code, code.split("(")[0][4:], *cases, task_id=task)
        return tool_of(made, place)

    square = of("def square(x): return x * x", "T/0")
    power = of("def power(number): return number ** 2", "T/1")
    hinted = of("def sq(x: int) -> int: return x * x", "T/2")
    slow = of("def slow(x): return sum(x for _ in range(x))", "T/3")
    cube = tool_of(of_calls("def cube(x): return x ** 3", "cube", ([0], 0), ([1], 1)), place)
    kept = distinct([square, power, hinted, slow, cube], place)
    assert [tool.function for tool in kept] == ["sq", "cube"]
    left_out = {tool.provenance.candidate_id for tool in (square, power, slow)}
    assert set(kept[0].provenance.same_behaviour) == left_out


def test_provenance_is_kept(place: Sandbox) -> None:
    candidate = of_calls("def f(x): return x", "f", ([1], 1))
    made = make_tool(candidate, provenance(candidate), place)
    assert isinstance(made, Tool)
    assert made.provenance == provenance(candidate)
    assert Tool.model_validate_json(made.model_dump_json()) == made
