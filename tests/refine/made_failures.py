"""Failures as refinement sees them, made up."""

from __future__ import annotations

from typing import Any

from hpc_runner.model import Calls, Candidate, Case
from hpc_runner.refine.failures import Earlier, FailedTest, Failure

TESTS = Calls(
    entry_point="f",
    cases=(Case(args=(1,), expected=2), Case(args=(22222,), expected=22223)),
)


def failed(code: str = "def f(x):\n    return x\n", **given: Any) -> Failure:
    """One whose first case fails; ``given`` are other fields, or the candidate's."""
    own = {key: given.pop(key) for key in ("language", "task_id") if key in given}
    history: tuple[Earlier, ...] = given.pop("history", ())
    candidate = Candidate(
        **{"task_id": "t/1", "code": code, "tests": TESTS, "generation": len(history), **own}
    )
    values: dict[str, Any] = {
        "candidate_id": candidate.candidate_id,
        "row": 0,
        "candidate": candidate,
        "verdict": "wrong_answer",
        "flaky": False,
        "cause": None,
        "error_type": "AssertionError",
        "error_message": "expected 2, got 1",
        "tests": (FailedTest("0", "wrong_answer", "AssertionError: expected 2, got 1"),),
        "history": history,
    }
    return Failure(**{**values, **given})


def earlier(code: str, **given: Any) -> Earlier:
    values = {
        "candidate_id": code.encode().ljust(32)[:32],
        "code": code,
        "verdict": "wrong_answer",
        "error_type": "AssertionError",
        "error_message": "expected 2, got 1",
    }
    return Earlier(**{**values, **given})
