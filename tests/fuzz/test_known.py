"""What fuzzing and reading have found once, in its smallest form."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from targets_agent import SECRET, frame
from warm_agent import HONEST, WRONG, Renewed, WarmAgent, warm_agent

from hpc_runner.corpus.readers import open_corpus
from hpc_runner.errors import CorpusError


@pytest.fixture(scope="module")
def renewed() -> Iterator[Renewed]:
    with warm_agent() as made:
        yield made


@pytest.fixture
def agent(renewed: Renewed) -> Iterator[WarmAgent]:
    with renewed.use() as used:
        yield used


def _with(**changes: Any) -> dict[str, Any]:
    return {**HONEST, **changes}


def _limits(**limits: Any) -> dict[str, Any]:
    return _with(limits=limits)


def _stdio(**case: Any) -> dict[str, Any]:
    return _with(code="print(5)", tests={"kind": "stdio", "cases": [case]})


@pytest.mark.parametrize(
    "request_",
    [
        {key: value for key, value in HONEST.items() if key != "code"},
        {key: value for key, value in HONEST.items() if key != "id"},
        _with(code=5),
        _limits(wall_s="x"),
        _limits(wall_s=1e308),
        _limits(wall_s=float("nan")),
        _limits(memory_bytes=1 << 80),
        _limits(file_bytes=1 << 63),
        _with(env=[1]),
        _with(env={"A": "x" * 70_000}),
        _with(tests={"kind": "stdio", "cases": []}),
        _with(tests={"kind": "assertions", "code": "", "cases": []}),
        _with(tests={"kind": "assertions", "code": "", "cases": [1]}),
        _stdio(stdin="", stdout=3),
        _stdio(stdin="", stdout=None),
    ],
    ids=repr,
)
def test_what_is_no_request_is_refused(agent: WarmAgent, request_: dict[str, Any]) -> None:
    (answer,) = agent.ask(json.dumps(request_).encode("ascii"))
    assert (answer["op"], answer["id"]) == ("refused", request_.get("id"))
    agent.is_honest()


@pytest.mark.parametrize(
    "line",
    [
        {"nonce": []},
        {"nonce": "NONCE", "done": "nonsense"},
        {"nonce": "NONCE", "done": "internal_error"},
        {"nonce": "NONCE", "done": "accepted", "error": 5},
        {"nonce": "NONCE", "died": 5},
        {"nonce": "NONCE", "test": "abc"},
        {"nonce": "NONCE", "test": ["0", "accepted", float("inf"), ""]},
        {"nonce": "NONCE", "inline": {}},
    ],
    ids=repr,
)
def test_who_holds_the_report_pipe_can_not_harm_the_agent(
    agent: WarmAgent, line: dict[str, Any]
) -> None:
    code = f"""
import os, sys
frame, nonce = sys._getframe(), ""
while frame is not None:
    for item in list(frame.f_locals.values()):
        nonce = nonce or getattr(item, "_nonce", "")
    frame = frame.f_back
assert nonce
os.write(4, {json.dumps(line)!r}.replace("NONCE", nonce).encode() + b"\\n")
def f(x):
    return x + 2
"""
    answer = agent.run({**WRONG, "code": code, "judge": "inline"})
    # It may say what a judge may say, in one process; being at fault is not among that.
    assert answer["verdict"] == "wrong_answer" or line.get("done") == "accepted"
    agent.is_honest()


_UNITTEST = """
import unittest
class TestCases(unittest.TestCase):
    def test_f(self):
        self.assertEqual(f(1), 2)
"""


@pytest.mark.parametrize("judge", ["auto", "split", "inline"])
@pytest.mark.parametrize("name", ["TestCases = 5", "class TestCases: pass"])
def test_a_candidate_does_not_take_the_place_of_a_test_class(
    agent: WarmAgent, name: str, judge: str
) -> None:
    code = f"{name}\ndef f(x):\n    return 77\n"
    tests = {"kind": "unittest", "code": _UNITTEST}
    assert agent.run(_with(code=code, tests=tests, judge=judge))["verdict"] == "wrong_answer"
    right = f"{name}\ndef f(x):\n    return x + 1\n"
    assert agent.run(_with(code=right, tests=tests, judge=judge))["verdict"] == "accepted"


def test_tests_without_a_test_accept_nothing(agent: WarmAgent) -> None:
    answer = agent.run(_with(tests={"kind": "unittest", "code": "import unittest\n"}))
    assert answer["verdict"] == "runtime_error"
    assert "there is no test" in answer["error_message"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("def abs(x):\n    return 0", "assert abs(candidate(1) - 2.0) < 1e-6"),
        ("def all(x):\n    return True", "assert all([candidate(1) == 2])"),
        ("def sorted(x):\n    return 0", "assert sorted([candidate(1)]) == sorted([2])"),
        ("def isinstance(x, y):\n    return True", "assert isinstance(candidate(1), str)"),
    ],
)
def test_a_candidate_s_own_builtins_do_not_judge_it(agent: WarmAgent, name: str, line: str) -> None:
    tests = {**HONEST["tests"], "code": f"def check(candidate):\n    {line}\n"}
    request = _with(code=f"{name}\ndef f(x):\n    return 77\n", tests=tests)
    answer = agent.run(request)
    assert (answer["judge"], answer["verdict"]) == ("split", "wrong_answer")
    # Where nobody says what is tested it might be one of these; then it is said in the row.
    answer = agent.run({**request, "tests": {**tests, "entry_point": None}})
    assert answer["verdict"] == "wrong_answer" or answer["suspicion"]


def test_a_function_with_the_name_of_a_builtin_can_be_tested(agent: WarmAgent) -> None:
    tests = {"kind": "assertions", "code": "", "cases": ["assert sum(2, 3) == 6"]}
    code = "def sum(a, b):\n    return a * b\n"
    for entry in ("sum", None):
        answer = agent.run(_with(code=code, tests={**tests, "entry_point": entry}))
        assert answer["verdict"] == "accepted"


def test_numbers_of_any_size_cross(agent: WarmAgent) -> None:
    tests = {
        "kind": "assertions",
        "code": "big = 2 ** 40000\n",
        "cases": ["assert f(big) == big + 1"],
        "entry_point": "f",
    }
    answer = agent.run(_with(tests=tests))
    assert (answer["judge"], answer["verdict"]) == ("split", "accepted")


def test_what_crosses_counts_against_the_memory_limit(agent: WarmAgent) -> None:
    """A small message can be a large object, in a process that isn't the candidate's."""
    code = f"""
import socket, time
judge = socket.socket(fileno=5)
for reply in ({frame({"names": {"f": ["function"]}})!r}, None):
    size = int.from_bytes(judge.recv(4), "little")
    judge.recv(size, socket.MSG_WAITALL)
    if reply is None:
        reply = b'{{"value": [' + b"[]," * 5_000_000 + b"0]}}"
        reply = len(reply).to_bytes(4, "little") + reply
    judge.sendall(reply)
time.sleep(60)
"""
    request = _with(code=code, limits={"wall_s": 8.0, "memory_bytes": 64 << 20})
    request["tests"] = {**HONEST["tests"], "code": f"def check(c):\n    assert c(1) == {SECRET}\n"}
    started = time.monotonic()
    assert agent.run(request)["verdict"] in ("memory_limit", "runtime_error")
    assert time.monotonic() - started < 7.0
    agent.is_honest()


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    row = {"task_id": "a", "code": "", "tests": {"kind": "none"}}
    data = bytearray(gzip.compress(json.dumps(row).encode(), mtime=0))
    data[10] ^= 1  # the first bits of the deflate stream
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"corpus\.jsonl\.gz: can't be read"):
        list(open_corpus([path]))


def test_a_parquet_file_with_a_damaged_name_is_a_corpus_error(tmp_path: Path) -> None:
    path = tmp_path / "corpus.parquet"
    pq.write_table(pa.table({"task_id": ["a"], "code": ["x = 1"], "tests": [["pass"]]}), path)
    damaged = path.read_bytes().replace(b"\x04list", b"\x04\xecist")
    path.write_bytes(damaged)
    with pytest.raises(CorpusError, match=r"corpus\.parquet"):
        list(open_corpus([path], format="native"))
