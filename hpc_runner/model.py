"""The words of the product as types: tests, limits, candidates.

The names of verdicts and limits belong to ``sandbox/agent.py``, which must
stand alone inside a container; they are read from there and never repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from hpc_runner.sandbox.agent import DEFAULT_LIMITS, Verdict

__all__ = [
    "Assertions",
    "Calls",
    "Candidate",
    "Case",
    "Checker",
    "ExpectedOutput",
    "Limits",
    "NoTests",
    "Stdio",
    "StdioCase",
    "Tests",
    "Unittest",
    "Verdict",
    "tests_adapter",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


_MOST_BYTES = 1 << 50


class Limits(_Model):
    """What one execution may use.  Defaults come from ``agent.DEFAULT_LIMITS``."""

    wall_s: float = Field(default=DEFAULT_LIMITS["wall_s"], gt=0, le=86_400)
    """Seconds from start to end of each run of the program."""
    cpu_s: float = Field(default=DEFAULT_LIMITS["cpu_s"], ge=0, le=86_400)
    """Seconds of CPU over all processes of the execution; 0 means the wall limit."""
    memory_bytes: int = Field(
        default=int(DEFAULT_LIMITS["memory_bytes"]), ge=16 << 20, le=_MOST_BYTES
    )
    """Resident memory over all processes of the execution."""
    output_bytes: int = Field(default=int(DEFAULT_LIMITS["output_bytes"]), ge=1024, le=_MOST_BYTES)
    """Bytes on stdout and on stderr, each; more is ``output_limit``."""
    processes: int = Field(default=int(DEFAULT_LIMITS["processes"]), ge=1, le=1 << 20)
    """Processes and threads alive at once."""
    file_bytes: int = Field(default=int(DEFAULT_LIMITS["file_bytes"]), ge=0, le=_MOST_BYTES)
    """Size of the private workspace, and of any single file in it."""
    open_files: int = Field(default=int(DEFAULT_LIMITS["open_files"]), ge=16, le=1 << 20)
    """File descriptors per process."""


Checker = Literal["exact", "trimmed", "tokens", "floats"]
"""How text is compared.  ``exact``: byte for byte.  ``trimmed``: white space at
line ends and empty lines at the end don't count.  ``tokens``: split on white
space.  ``floats``: tokens, where two numbers are equal within the tolerance,
absolute or relative."""


class Assertions(_Model):
    """Python statements that raise when the candidate is wrong.

    ``code`` is executed once after the candidate; then each of ``cases`` is a
    test of its own.  HumanEval: ``code`` defines ``check`` and the one case
    calls it.  MBPP: each assert is a case.
    """

    kind: Literal["assertions"] = "assertions"
    code: str = ""
    cases: tuple[str, ...] = Field(min_length=1)
    entry_point: str | None = None


class Case(_Model):
    """One call: positional and keyword arguments (plain JSON data), and the value expected."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = Field(default_factory=dict)
    expected: Any = None


class Calls(_Model):
    """Calls of ``entry_point`` (a function, or a method of a class ``Solution``)
    with expected values.  Tuples equal lists; floats are equal within
    ``tolerance`` (absolute or relative) if one is given."""

    kind: Literal["calls"] = "calls"
    entry_point: str
    cases: tuple[Case, ...] = Field(min_length=1)
    tolerance: float | None = None


class StdioCase(_Model):
    stdin: str = ""
    stdout: str


class Stdio(_Model):
    """The whole program, run once for each case as ``__main__``."""

    kind: Literal["stdio"] = "stdio"
    cases: tuple[StdioCase, ...] = Field(min_length=1)
    checker: Checker = "trimmed"
    tolerance: float = 1e-6


class Unittest(_Model):
    """A test module with ``unittest.TestCase`` classes that sees the candidate's names."""

    kind: Literal["unittest"] = "unittest"
    code: str


class ExpectedOutput(_Model):
    """The program's stdout is what is expected."""

    kind: Literal["expected_output"] = "expected_output"
    stdout: str
    checker: Checker = "trimmed"
    tolerance: float = 1e-6


class NoTests(_Model):
    """Accepted when the program ends by itself without an error."""

    kind: Literal["none"] = "none"


Tests = Annotated[
    Assertions | Calls | Stdio | Unittest | ExpectedOutput | NoTests,
    Field(discriminator="kind"),
]
tests_adapter: TypeAdapter[Tests] = TypeAdapter(Tests)


class Candidate(_Model):
    """One program for a task, and how it is judged.

    ``candidate_id`` (32 bytes) is the SHA-256 of everything that can change a
    verdict: code, tests, language, limits, dependencies and the environment
    variables that it is given.  Two corpus rows with the same id are the same
    candidate.
    """

    task_id: str
    code: str
    tests: Tests = NoTests()
    language: str = "python"
    limits: Limits = Limits()
    dependencies: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    generation: int = Field(default=0, ge=0)
    parent: bytes | None = None
    description: str = ""
    """The task in words, as far as the corpus has it; no part of the id."""

    @property
    def candidate_id(self) -> bytes:
        content = {
            "code": self.code,
            "tests": self.tests.model_dump(mode="json"),
            "language": self.language,
            "limits": self.limits.model_dump(mode="json"),
            "dependencies": sorted(self.dependencies),
            "env": self.env,
        }
        return hashlib.sha256(canonical_json(content)).digest()


def canonical_json(content: Mapping[str, Any]) -> bytes:
    """Bytes that are equal exactly when the content is."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")
