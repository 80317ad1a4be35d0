"""Our own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_corpora import Read, candidates, rejected

from hpc_runner.corpus.readers import open_corpus
from hpc_runner.model import Candidate, ExpectedOutput, Limits, NoTests

ROW: dict[str, Any] = {"task_id": "a", "code": "print(120)\n"}


def test_a_row_is_a_candidate(read: Read) -> None:
    row = {
        **ROW,
        "tests": {"kind": "expected_output", "stdout": "120"},
        "language": "Py3",
        "limits": {"wall_s": 2},
        "dependencies": ["numpy"],
        "env": {"SEED": "1"},
        "metadata": {"model": "m", "temperature": 0.2},
    }
    (made,) = candidates(read([row]))
    assert made == Candidate(
        task_id="a",
        code="print(120)\n",
        tests=ExpectedOutput(stdout="120"),
        limits=Limits.model_validate({"wall_s": 2}),
        dependencies=("numpy",),
        env={"SEED": "1"},
    )
    (bare,) = candidates(read([ROW]))
    assert bare.tests == NoTests()


def test_the_specifications_indented_example_runs(read: Read) -> None:
    code = "\n    def f(n):\n        return n\n    \n    print(f(120))\n    "
    (made,) = candidates(read([{**ROW, "code": code}]))
    compile(made.code, "made", "exec")


def test_a_completion_follows_its_prompt(read: Read) -> None:
    row = {
        "task_id": "a",
        "prompt": "def f(x):\n",
        "completion": "    return x\n",
        "tests": {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 1}]},
    }
    (made,) = candidates(read([row]))
    assert made.code == "def f(x):\n    return x\n"
    without = {key: row[key] for key in ("task_id", "prompt", "tests")}
    items = read([without], [{"task_id": "a", "completion": "    return x\n"}])
    assert candidates(items) == [made]


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        ({"test": {}}, "test", "unknown key; known are code"),
        ({"tests": {"kind": "wish"}}, "tests", "kind"),
        ({"tests": {"kind": "stdio", "cases": []}}, "tests.stdio.cases", "at least 1"),
        (
            {"tests": {"kind": "stdio", "cases": [{"stdin": "1"}]}},
            "tests.stdio.cases.0.stdout",
            "required",
        ),
        ({"tests": {"kind": "none", "x": 1}}, "tests.none.x", "not permitted"),
        ({"limits": {"wall_s": -1}}, "limits.wall_s", "greater than 0 (found -1)"),
        ({"limits": {"memory_bytes": 5}}, "limits.memory_bytes", "16777216"),
        ({"limits": 3}, "limits", "found 3"),
        ({"language": "klingon"}, "language", "known are python"),
        ({"env": {"A": 1}}, "env.A", "string"),
        ({"dependencies": "numpy"}, "dependencies", "not JSON"),
        ({"dependencies": {"a": 1}}, "dependencies", "valid tuple (found {'a': 1})"),
        ({"task_id": None}, "task_id", "is null; the row has task_id, code"),
        ({"code": None}, "code", "is null"),
        ({"code": ""}, "code", "is empty"),
        ({"code": "x = 1\0"}, "code", "NUL character in code, at character 5"),
        ({"code": "'\udc41'"}, "code", "lone surrogate"),
        ({"tests": {"kind": "expected_output", "stdout": "\ud800"}}, "tests.stdout", "surrogate"),
        ({"completion": "x"}, "completion", "there is code as well"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], key: str, reason: str, read: Read) -> None:
    bad, good = read([{**ROW, **change}, ROW], format="native")
    (error,) = rejected([bad])
    assert (error.row, error.key) == (0, key)
    assert reason in error.reason
    assert candidates([good])


def test_data_that_could_not_be_written_again_is_a_bad_row(read: Read) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    tests = {"kind": "calls", "entry_point": "f", "cases": [{"args": [deep]}]}
    (error,) = rejected(read([{**ROW, "tests": tests}]))
    assert (error.key, error.reason) == ("tests", "nested deeper than 100")


def test_parquet_holds_tests_as_json(tmp_path: Path) -> None:
    row = {**ROW, "tests": json.dumps({"kind": "expected_output", "stdout": "1"}), "limits": None}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "c.parquet")
    (made,) = candidates(list(open_corpus([tmp_path / "c.parquet"])))
    assert made.tests == ExpectedOutput(stdout="1")
