"""What the agent is told of a program in another language: how it is built and run."""

from __future__ import annotations

import re
from typing import Any

from hpc_runner.model import Assertions, Candidate, Limits, Tests
from hpc_runner.sandbox.agent import Artefacts
from hpc_runner.sandbox.toolchains import PYTHON, TOOLCHAINS

__all__ = ["WHOLE_TEST", "native", "needed", "unsupported"]

MB = 1 << 20


def unsupported(candidate: Candidate) -> str | None:
    """Why a candidate can't be judged, if it can't."""
    language, kind = candidate.language, candidate.tests.kind
    if language == PYTHON:
        return None
    if language not in TOOLCHAINS:
        known = ", ".join((PYTHON, *TOOLCHAINS))
        return f"no toolchain for {language}; there are {known}"
    if kind in ("calls", "unittest"):
        return f"tests of kind {kind} are for Python; {language} has assertions, stdio and others"
    return None


def needed(candidate: Candidate) -> Limits:
    """What an agent must have room for: its compiler takes more than most programs."""
    limits = candidate.limits
    if candidate.language not in TOOLCHAINS:
        return limits
    compiler = TOOLCHAINS[candidate.language].limits
    wider = {
        name: max(getattr(limits, name), int(compiler[name]))
        for name in ("memory_bytes", "file_bytes", "processes")
    }
    wider["memory_bytes"] += Artefacts.MOST_BYTES
    return limits.model_copy(update=wider)


def _tests(tests: Tests) -> str | None:
    """Those that are written in the candidate's language, as one text."""
    if not isinstance(tests, Assertions):
        return None
    cases = [case for case in tests.cases if case != WHOLE_TEST]
    return "\n".join([tests.code, *cases])


WHOLE_TEST = "all"
"""The one case of tests that are a program of their own."""


def native(candidate: Candidate, libraries: str) -> dict[str, Any]:
    """What of a request to the agent says how a program is built and run, and how its failures
    look.

    ``libraries``: where those of the language are, in the eyes of the program.  KeyError for
    a language that isn't here.
    """
    row, code, tests = TOOLCHAINS[candidate.language], candidate.code, _tests(candidate.tests)
    files, main = row.write(code, tests)
    tested = tests is not None
    names = list(files)
    steps = row.tested_steps if tested and row.tested_steps is not None else row.steps
    run = row.tested_run if tested and row.tested_run is not None else row.run
    module = main.endswith(".mjs")
    words: dict[str, str | list[str]] = {
        "main": [main],
        "solution": names[:1],
        "sources": [name for name in names if not name.endswith(".js")],
        "entry": ["-r", "./ending.js", main] if module else [main],
        "libs": _linked(code),
        "crates": _crates(code, libraries),
        "lib": libraries,
        "heap_mb": str(max(16, candidate.limits.memory_bytes // MB)),
    }

    def said(command: tuple[str, ...]) -> list[str]:
        made: list[str] = []
        for word in command:
            found = words.get(word[1:-1]) if word.startswith("{") else None
            made += found if isinstance(found, list) else [word.format_map(words)]
        return made

    env = [[name, value.format_map(words)] for name, value in row.env]
    made = {
        "build": {
            "files": [[name, text] for name, text in files.items()],
            "steps": [said(step) for step in steps],
            "keep": list(row.keep),
            "env": env,
            "limits": dict(row.limits),
            "failures": [list(item) for item in row.build_failures],
        },
        "run": said(run),
        "env": env,
        "failures": [list(item) for item in row.failures],
        "address_bytes": row.address_bytes,
    }
    if not tested:
        return {"native": made}
    return {"native": made, "tests": {"kind": "assertions", "code": "", "cases": [WHOLE_TEST]}}


_LINKED = (("<openssl/", "-lcrypto"), ("<math.h>", "-lm"), ("pthread.h>", "-pthread"))


def _linked(code: str) -> list[str]:
    """Libraries that a C or C++ program is linked with, by what it includes."""
    return [flag for header, flag in _LINKED if header in code]


_CRATES = ("rand", "regex", "md5")


def _crates(code: str, libraries: str) -> list[str]:
    """Crates that a Rust program names."""
    named = [crate for crate in _CRATES if re.search(rf"\b{crate}\b", code)]
    return [
        part
        for crate in named
        for part in ("--extern", f"{crate}={libraries}/crates/lib{crate}.rlib")
    ]
