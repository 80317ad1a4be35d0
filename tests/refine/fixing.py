"""HumanEvalPack's buggy programs, and a model that mends each at the second attempt."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from model_server import Action, Asked

from hpc_runner.rundir import RunDir


@dataclass(frozen=True)
class Problem:
    task_id: str
    declaration: str
    sign: str
    """A line of its tests: two problems may have one declaration."""
    right: str
    """The whole program."""


def problems(path: Path) -> list[Problem]:
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [
        Problem(
            row["task_id"],
            row["declaration"],
            next(line for line in row["test"].splitlines() if "assert" in line),
            row["declaration"] + row["canonical_solution"],
        )
        for row in rows
    ]


@dataclass
class SecondTime:
    """First a wrong program, or something that is none and then a wrong program; told that it was
    wrong, the right one."""

    known: list[Problem]
    right: list[str] = field(default_factory=list)
    """Tasks that it was paid for the right answer to."""

    def __call__(self, asked: Asked) -> Action:
        found = [
            one
            for one in self.known
            if one.declaration.strip() in asked.prompt and one.sign in asked.prompt
        ]
        problem = max(found, key=lambda one: len(one.declaration))
        if "earlier attempt 1" in asked.prompt:
            self.right.append(problem.task_id)
            return Action(text=said(problem.right))
        garbage = len(problem.task_id) + int(problem.task_id.split("/")[1])
        if "could not be used" not in asked.prompt and garbage % 2:
            return GARBAGE[garbage % len(GARBAGE)]
        return Action(text=said(f"{problem.declaration}    return 'wrong', {problem.task_id!r}\n"))


def said(code: str) -> str:
    return json.dumps({"explanation": "as told", "code": code})


GARBAGE = (
    Action(text="Let me think about this."),
    Action(text="{}"),
    Action(text=said("def broken(:\n")),
    Action("length", text='{"explanation": "it'),
    Action("refusal"),
    Action("empty"),
    Action(text='{"solution": "def f(): pass"}'),
)


@dataclass(frozen=True)
class Leaks:
    """Where a secret was found."""

    files: list[Path]
    """Of the run's directory."""
    processes: list[str]
    """Command lines of the run's processes that have it in their environment or arguments."""
    looked_at: int
    """Processes."""


def leaks(run: RunDir, secret: str, besides: Collection[int] = ()) -> Leaks:
    """Look for a secret in all files of a run, and in all its processes but some."""
    wanted = secret.encode()
    files = [path for path in run.root.rglob("*") if path.is_file() and wanted in _bytes(path)]
    found, looked_at = [], 0
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) in {*besides, os.getpid()}:
            continue
        words = _bytes(process / "cmdline")
        if os.fsencode(run.root) not in words or not (b"sandbox" in words or b"/waves/" in words):
            continue  # none of ours, or a coordinator
        looked_at += 1
        if wanted in words + _bytes(process / "environ"):
            found.append(words.replace(b"\0", b" ").decode())
    return Leaks(files, found, looked_at)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended, or was replaced
