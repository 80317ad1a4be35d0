"""The agent's three ways in: its stdin, the judge's channel, the report pipe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from fuzzing import Check, Target
from hypothesis import strategies as st
from mutations import ANYTHING, JSON, damaged, mutated
from warm_agent import HONEST, VERDICTS, WRONG, check_answer, warm_agent

# ------------------------------------------------------------------------- the requests

_CALLS = {
    "kind": "calls",
    "entry_point": "f",
    "cases": [{"args": [1], "kwargs": {}, "expected": 2}],
}
_UNITTEST = {
    "kind": "unittest",
    "code": "import unittest\nclass T(unittest.TestCase):\n"
    "    def test_f(self):\n        self.assertEqual(f(1), 2)\n",
}
_STDIO = {
    "kind": "stdio",
    "cases": [{"stdin": "1\n", "stdout": "2\n"}, {"stdin": "", "stdout": "3"}],
    "checker": "floats",
    "tolerance": 1e-6,
}
_LIMITS = {
    "wall_s": 5.0, "cpu_s": 1.0, "memory_bytes": 64 << 20, "output_bytes": 4096, "processes": 4,
    "file_bytes": 1 << 20, "open_files": 32,
}  # fmt: skip
_PERTURBATION = {
    "hash": 0, "tz": "EAST-5:45", "locale": "xx_XX,C.UTF-8", "temp": "x", "env": 3, "memory": 4,
    "threads": 100, "cpus": 1, "clock": 86_400, "load": 0,
}  # fmt: skip
_REQUESTS = [
    WRONG,
    {**WRONG, "limits": _LIMITS, "every": True},
    {**WRONG, "tests": {**_CALLS, "tolerance": 0.1}},
    {**WRONG, "tests": _UNITTEST},
    {**WRONG, "tests": _STDIO, "env": {"A": "b"}, "path": []},
    {**WRONG, "tests": {"kind": "expected_output", "stdout": "x", "checker": "tokens"}},
    {**WRONG, "perturbation": _PERTURBATION, "beside": 2, "outputs": True},
]
_LINES = [json.dumps(request).encode("ascii") for request in (HONEST, *_REQUESTS)]


@contextlib.contextmanager
def _requests() -> Iterator[Check]:
    with warm_agent() as renewed:

        def check(request: Any) -> None:
            with renewed.use() as agent:
                (answer,) = agent.ask(json.dumps(request).encode("ascii"))
                if answer["op"] == "result":
                    check_answer(answer, request["id"])
                else:
                    assert answer["op"] == "refused", answer
                agent.is_honest()

        yield check


@contextlib.contextmanager
def _lines() -> Iterator[Check]:
    with warm_agent() as renewed:

        def check(data: bytes) -> None:
            with renewed.use() as agent:
                for answer in agent.ask(data, answers=data.count(b"\n") + 1):
                    assert answer["op"] in ("refused", "result")
                    # What was damaged was a wrong program: passing is for the right one only.
                    if answer.get("verdict") == "accepted":
                        assert b"x + 1" in data or not data.count(b"x + 2"), answer
                agent.is_honest()

        yield check


# ------------------------------------------------------------- the split judge's channel

SECRET = 918_273_645
"""What the tests expect and no reply that is made up will be."""

_LIAR = """
import socket, struct
replies = {replies!r}
judge = socket.socket(fileno=5)
for reply in replies:
    size = struct.unpack("=I", judge.recv(4, socket.MSG_WAITALL))[0]
    judge.recv(size, socket.MSG_WAITALL)
    judge.sendall(reply)
{ending}
"""
_ENDINGS = ("import os; os._exit(0)", "judge.close()", "import sys; sys.exit(0)")
_JUDGED: list[dict[str, Any]] = [
    {
        "kind": "assertions",
        "code": f"def check(candidate):\n    assert candidate(1) == {SECRET}\n"
        f"    assert abs(candidate(2) - {SECRET}) < 1e-6\n",
        "cases": ["check(f)"],
        "entry_point": "f",
    },
    {
        "kind": "assertions",
        "code": "",
        "cases": [f"try:\n    f(1)\nexcept BaseException:\n    pass\nassert f(2) == {SECRET}"],
        "entry_point": None,
    },
    {**_CALLS, "cases": [{"args": [[1]], "kwargs": {}, "expected": SECRET}]},
    {**_UNITTEST, "code": _UNITTEST["code"].replace("2)", f"{SECRET})")},
]
_WORDS = ["function", "value", "class", "module", "other", "unittest", "T", "TestCase", "list"]
_NAMES = st.sampled_from(
    ["f", "abs", "check", "unittest", "T", "self", "assertEqual", "BaseException", "__name__"]
)
_PART = st.one_of(st.sampled_from([*_WORDS, "ValueError", "Exception", 0, None]), ANYTHING)
_KINDS = st.one_of(st.just(["function"]), st.lists(_PART, max_size=3), JSON)
_TAGGED = st.fixed_dictionaries(
    {
        "t": st.sampled_from(
            ["t", "dict", "set", "tuple", "opaque", "complex", "bytes", "frozenset"]
        ),
        "v": st.one_of(JSON, st.lists(st.lists(JSON, min_size=2, max_size=2), max_size=2)),
    }
)
_REPLY = st.one_of(
    st.builds(lambda kinds: {"names": kinds}, st.dictionaries(_NAMES, _KINDS, max_size=4)),
    st.builds(lambda value: {"value": value}, st.one_of(JSON, _TAGGED)),
    st.builds(lambda parts: {"raise": parts}, st.lists(_PART, max_size=4)),
    st.builds(lambda v, c: {"value": v, "changed": c}, JSON, st.dictionaries(_NAMES, _TAGGED)),
    st.dictionaries(
        st.sampled_from(
            ["names", "compile", "load", "cannot", "exit", "value", "raise", "changed"]
        ),
        ANYTHING,
        max_size=2,
    ),
    ANYTHING,
)


def frame(reply: Any) -> bytes:
    data = json.dumps(reply).encode("ascii")
    return len(data).to_bytes(4, "little") + data


_FIRST = st.one_of(
    st.just(frame({"names": {"f": ["function"]}})),
    _REPLY.map(frame),
    st.dictionaries(_NAMES, _KINDS, min_size=1).map(lambda kinds: frame({"names": kinds})),
)
_FRAMES = st.tuples(
    _FIRST,
    st.lists(
        st.one_of(
            _REPLY.map(frame),
            st.binary(max_size=12),
            damaged([frame({"value": 1}), frame({"raise": ["ValueError", "ValueError", []]})]),
        ),
        max_size=3,
    ),
).map(lambda pair: [pair[0], *pair[1]])
_LIES = st.tuples(_FRAMES, st.sampled_from(_ENDINGS), st.sampled_from(_JUDGED))


@contextlib.contextmanager
def _channel() -> Iterator[Check]:
    with warm_agent() as renewed:

        def check(example: tuple[list[bytes], str, dict[str, Any]]) -> None:
            replies, ending, tests = example
            request = {
                **HONEST,
                "id": 1,
                "code": _LIAR.format(replies=replies, ending=ending),
                "tests": tests,
                "limits": {"wall_s": 1.0},
            }
            with renewed.use() as agent:
                answer = agent.run(request)
                assert answer["verdict"] not in ("accepted", "internal_error"), answer
                agent.is_honest()

        yield check


# --------------------------------------------------------------------- the report pipe

_NONCE = """
import os, sys
frame, nonce = sys._getframe(), None
while frame is not None:
    for item in list(frame.f_locals.values()):
        nonce = nonce or getattr(item, "_nonce", None)
    frame = frame.f_back
for line in {lines!r}:
    try:
        os.write(4, line.replace(b"NONCE", str({nonce}).encode()) + b"\\n")
    except OSError:
        break
def f(x):
    return x + 2
"""
_SAID = st.dictionaries(
    st.sampled_from(["test", "done", "died", "inline", "suspicion", "locked", "error"]),
    st.one_of(
        st.sampled_from(sorted(VERDICTS)),
        st.lists(st.one_of(st.sampled_from(sorted(VERDICTS)), SCALAR := ANYTHING), max_size=4),
        SCALAR,
    ),
    max_size=3,
)
_SAID_LINES = st.one_of(
    _SAID.map(lambda said: json.dumps({**said, "nonce": "NONCE"}).encode("ascii")),
    st.builds(lambda nonce: json.dumps({"nonce": nonce, "done": "accepted"}).encode(), ANYTHING),
    JSON.map(lambda value: json.dumps(value).encode("ascii")),
    st.binary(max_size=30),
)
_REPORTS = st.tuples(
    st.lists(_SAID_LINES, min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(
        [
            (WRONG["tests"], "inline"),
            (_UNITTEST, "inline"),
            (WRONG["tests"], "split"),
            (_STDIO, "auto"),
        ]
    ),
)


@contextlib.contextmanager
def _reports() -> Iterator[Check]:
    with warm_agent() as renewed:

        def check(example: tuple[list[bytes], bool, tuple[dict[str, Any], str]]) -> None:
            lines, knows, (tests, judge) = example
            code = _NONCE.format(lines=lines, nonce="nonce" if knows else "'0' * 32")
            request = {**WRONG, "code": code, "tests": tests, "judge": judge}
            with renewed.use() as agent:
                answer = agent.run(request)
                # In one process who finds the nonce may say what the judge says, but no more.
                if not knows or judge == "split" or tests is _STDIO:
                    assert answer["verdict"] == "wrong_answer", answer
                assert answer["verdict"] != "internal_error", answer
                agent.is_honest()

        yield check


TARGETS = [
    Target("agent requests", mutated(_REQUESTS, 3), _requests, 40),
    Target("agent lines", st.one_of(damaged(_LINES), st.binary(max_size=60)), _lines, 40),
    Target("judge channel", _LIES, _channel, 40),
    Target("report pipe", _REPORTS, _reports, 40),
]
