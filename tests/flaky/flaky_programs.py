"""Programs of known reliability as data: programs/CAUSE/NAME.py, with a header.

    # tests: assert f(2) == 3      optional; else it is accepted when it ends by itself
    # prints: ['a', 'b']           optional; all that it should print
    # flips to: runtime_error      what it is when the cause strikes
    # verdict: wrong_answer        optional; always, for one that is stable
    # also: random                optional; another cause that it has
    # p: 0.3                       optional; how often the cause strikes, of a thing of chance
    # since: 3.12                  optional; it is accepted from this Python on, ...
    # until: 3.10                  ... or up to this one
    # env: {"NAME": "value"}       optional; what it is given
    # limits: {"wall_s": 0.2}      optional

The causes are ``none`` (it is stable), the dimensions of docs/perturbation.md, ``random`` and
``python`` (the environment's version).  A program that depends on a hash or on an address
takes one of two ways by it, so which of them a neutral round takes is not known here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "programs"
WALL_S = 5.0

CLASSES = {"none": "stable", "python": "environment_dependent", "load": "load_dependent"}
"""Cause → reliability class; every other cause makes a program flaky."""

EITHER_WAY = ("hash", "memory", "clock")
"""Causes whose values have no neutral side."""

_HEAD = re.compile(r"# ([a-z ]+): (.*)\n")


@dataclass(frozen=True)
class Program:
    """One of them; ``name`` is CAUSE/NAME."""

    name: str
    code: str
    head: dict[str, str]

    @property
    def cause(self) -> str:
        return self.name.partition("/")[0]

    @property
    def kind(self) -> str:
        """Its reliability class."""
        return CLASSES.get(self.cause, "flaky")

    @cached_property
    def tests(self) -> dict[str, Any]:
        if "tests" in self.head:
            case = self.head["tests"]
            return {"kind": "assertions", "code": "", "cases": [case], "entry_point": "f"}
        if "prints" in self.head:
            expected = {"stdout": self.head["prints"], "checker": "trimmed", "tolerance": 0.0}
            return {"kind": "expected_output", **expected}
        return {"kind": "none"}

    @property
    def limits(self) -> dict[str, float]:
        return {"wall_s": WALL_S, **json.loads(self.head.get("limits", "{}"))}

    @property
    def env(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.head.get("env", "{}"))
        return found

    def verdicts(self, python: str = "") -> set[str]:
        """What it may be, in a ``python`` such as "3.11.7" where that matters."""
        if self.cause == "none":
            return {self.head.get("verdict", "accepted")}
        if self.cause != "python":
            return {"accepted", self.head["flips to"]}
        version = _version(python)
        good = version >= _version(self.head.get("since", "3.0"))
        good = good and version <= _version(self.head.get("until", "3.99"))
        return {"accepted" if good else self.head["flips to"]}

    def request(self, **more: Any) -> dict[str, Any]:
        """For an agent."""
        found = {"code": self.code, "tests": self.tests, "limits": self.limits, "env": self.env}
        return {**found, **more}

    def row(self) -> dict[str, Any]:
        """Of a corpus in the native format."""
        known = {"class": self.kind, "cause": self.cause}
        return {"task_id": f"flaky/{self.name}", **self.request(), "metadata": known}


def programs() -> list[Program]:
    """All of them, by name."""
    return [_read(path) for path in sorted(PROGRAMS.glob("*/*.py"))]


def write_corpus(path: Path, *causes: str) -> None:
    """A corpus of them for `hpc-runner run`; of these causes, if any are named."""
    chosen = (program for program in programs() if program.cause in causes or not causes)
    rows = (json.dumps(program.row()) for program in chosen)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="ascii")


def _read(path: Path) -> Program:
    code = path.read_text(encoding="utf-8")
    head = {}
    while match := _HEAD.match(code):
        head[match[1]] = match[2]
        code = code[match.end() :]
    return Program(f"{path.parent.name}/{path.stem}", code.lstrip("\n"), head)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
