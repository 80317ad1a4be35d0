"""Candidates, tools and places for the tests of MCP servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpc_runner.export.mcp.calls import Place
from hpc_runner.export.mcp.making import NoTool, make_tool
from hpc_runner.export.mcp.sandbox import Sandbox
from hpc_runner.export.mcp.tools import Provenance, Tool
from hpc_runner.model import Assertions, Calls, Candidate, Case, Limits
from hpc_runner.sandbox.local import base_interpreter


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    place = Sandbox(base_interpreter(), "limits")
    try:
        yield place
    finally:
        place.close()


def of_calls(code: str, function: str, *cases: tuple[list[Any], Any], **more: Any) -> Candidate:
    """A candidate that is tested by calls: (positional arguments, expected value)."""
    made = tuple(Case(args=tuple(args), expected=expected) for args, expected in cases)
    tests = Calls(entry_point=function, cases=made)
    return Candidate(**{"task_id": "T/0", "code": code, "tests": tests, **more})


def of_asserts(code: str, *asserts: str, **more: Any) -> Candidate:
    """A candidate that is tested as MBPP's are."""
    return Candidate(**{"task_id": "T/0", "code": code, "tests": Assertions(cases=asserts), **more})


def provenance(candidate: Candidate) -> Provenance:
    return Provenance(
        run_id="made",
        task_id=candidate.task_id,
        candidate_id=candidate.candidate_id.hex(),
        judged=3,
        agreement=1.0,
        agreement_low=0.44,
        require_isolation="limits",
        hpc_runner="0",
    )


def tool_of(candidate: Candidate, place: Place) -> Tool:
    made = make_tool(candidate, provenance(candidate), place)
    assert isinstance(made, Tool), made
    return made


def refused(candidate: Candidate, place: Place) -> str:
    made = make_tool(candidate, provenance(candidate), place)
    assert isinstance(made, NoTool)
    return made.reason


QUICK = Limits(wall_s=1.0)
