"""The other languages that can be run: how each is built, how it is run, how its failures look.

A language is a row of ``TOOLCHAINS`` and a function of ``sources.py``; docs/languages.md
adds one as an example.  In a command ``{main}`` is the main file or class, ``{sources}``
all files, ``{lib}`` the directory of the language's libraries, ``{heap_mb}`` what the
memory limit leaves a heap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hpc_runner.model import Assertions, Candidate, Limits, Tests
from hpc_runner.sandbox import sources
from hpc_runner.sandbox.agent import Artefacts
from hpc_runner.sandbox.sources import Sources

__all__ = ["BUILD_LIMITS", "PYTHON", "TOOLCHAINS", "Toolchain", "native", "needed", "unsupported"]

PYTHON = "python"
"""The one language that isn't here: the agent itself runs it."""

MB = 1 << 20
BUILD_LIMITS: Mapping[str, int | float] = MappingProxyType(
    {
        "wall_s": 60.0,
        "cpu_s": 0.0,
        "memory_bytes": 1024 * MB,
        "output_bytes": MB,
        "processes": 64,
        "file_bytes": 64 * MB,
        "open_files": 256,
    }
)
"""Of a compiler, whatever the program's own are."""

WRONG, ERROR, MEMORY = "wrong_answer", "runtime_error", "memory_limit"


@dataclass(frozen=True)
class Toolchain:
    """A row.  ``tested`` differs from ``steps`` and ``run`` where a program has its tests in it."""

    language: str
    tools: tuple[str, ...]
    """Programs in /usr/bin that have to be there."""
    packages: tuple[str, ...]
    """Debian's, that bring them."""
    write: Callable[[str, str | None], Sources]
    steps: tuple[tuple[str, ...], ...]
    """Commands that build it, one after the other."""
    run: tuple[str, ...]
    keep: tuple[str, ...]
    """Of the files, those that it consists of afterwards (patterns)."""
    failures: tuple[tuple[str, str, str], ...]
    """(pattern, verdict, type of error), the first that is found counts.  Its groups "type" and
    "message" say it better, where it has them."""
    build_failures: tuple[tuple[str, str], ...]
    tested_steps: tuple[tuple[str, ...], ...] | None = None
    tested_run: tuple[str, ...] | None = None
    views: tuple[str, ...] = ()
    """Paths beyond what every program sees, as far as they are there."""
    env: tuple[tuple[str, str], ...] = ()
    address_bytes: int = 4 << 30
    """Address space beyond the memory limit, which is one of resident memory."""
    limits: Mapping[str, int | float] = field(default_factory=lambda: BUILD_LIMITS)


_C_FAILURES = (
    (r"Assertion [`'].*' failed", WRONG, "AssertionFailed"),
    (r"std::bad_alloc", MEMORY, "std::bad_alloc"),
    (
        r"terminate called after throwing an instance of '(?P<type>[^']+)'"
        r"(?:\n\s*what\(\):\s*(?P<message>.*))?",
        ERROR,
        "exception",
    ),
    (r"\*\*\* stack smashing detected \*\*\*", ERROR, "StackSmashing"),
)
_C_BUILD = (
    (r"^[^\n]*?\b(?:fatal )?error: (?P<message>.*)", "CompileError"),
    (r"undefined reference to .*", "LinkError"),
)
_C_FLAGS = ("-w", "-fmax-errors=5", "-fno-diagnostics-color")
_NODE_FAILURES = (
    (r"^Assertion failed.*", WRONG, "AssertionFailed"),
    (r"AssertionError\b[^:\n]*: (?P<message>.*)", WRONG, "AssertionError"),
    (r"JavaScript heap out of memory", MEMORY, "HeapOutOfMemory"),
    (r"^(?:Uncaught )?(?P<type>\w*Error)(?: \[\w+\])?: (?P<message>.*)", ERROR, "Error"),
)
_NODE = ("node", "--max-old-space-size={heap_mb}", "--v8-pool-size=1")
_WIDE = 64 << 30

TOOLCHAINS: dict[str, Toolchain] = {
    row.language: row
    for row in (
        Toolchain(
            language="javascript",
            tools=("node",),
            packages=("nodejs",),
            write=sources.javascript,
            steps=(("node", "--check", "{main}"),),
            run=(*_NODE, "{main}"),
            tested_steps=(("node", "--check", "{solution}"),),
            tested_run=(*_NODE, "{entry}"),
            keep=("*.js", "*.mjs"),
            failures=_NODE_FAILURES,
            build_failures=((r"^(?P<type>\w*Error): (?P<message>.*)", "SyntaxError"),),
            env=(("NODE_PATH", "{lib}/node_modules:/usr/share/nodejs"),),
            views=("/usr/share/nodejs",),
            address_bytes=_WIDE,
        ),
        Toolchain(
            language="cpp",
            tools=("g++",),
            packages=("g++", "libboost-dev", "libssl-dev"),
            write=sources.cpp,
            steps=(("g++", "-std=c++17", "-O2", *_C_FLAGS, "-o", "solution", "{main}", "{libs}"),),
            tested_steps=(
                ("gcc", "-O1", "-c", "-o", "ending.o", "ending.c"),
                (
                    "g++", "-std=c++17", "-O1", *_C_FLAGS, "-Wl,--wrap=main", "-o", "solution",
                    "{main}", "ending.o", "{libs}",
                ),
            ),
            run=("./solution",),
            keep=("solution",),
            failures=_C_FAILURES,
            build_failures=_C_BUILD,
            views=("/usr/include",),
        ),
    )
}  # fmt: skip


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
    steps = row.tested_steps if tested and row.tested_steps is not None else row.steps
    run = row.tested_run if tested and row.tested_run is not None else row.run
    words = {
        "main": [main],
        "sources": list(files),
        "libs": _linked(code),
        "solution": [next(iter(files))],
        "entry": [main]
        if main in files and main != "solution.mjs"
        else ["-r", "./ending.js", main],
        "lib": libraries,
        "heap_mb": str(max(16, candidate.limits.memory_bytes // MB)),
    }

    def said(command: tuple[str, ...]) -> list[str]:
        made: list[str] = []
        for word in command:
            found = words.get(word[1:-1]) if word[:1] == "{" else None
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
