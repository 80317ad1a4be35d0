"""When refining a candidate is over.  Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from hpc_runner.refine.answers import normalised
from hpc_runner.refine.failures import Failure

__all__ = ["Reason", "after_answer", "before_question", "diff_lines"]


class Reason(StrEnum):
    """Why nothing more is made of a candidate; docs/refinement.md explains each.  That it was
    accepted is its vote's to say."""

    MAX_ITERATIONS = "max_iterations"
    SAME_CODE = "same_code"
    OSCILLATION = "oscillation"
    DIVERGING = "diverging"
    BUDGET = "budget"
    NO_ANSWER = "no_answer"
    QUESTION_REFUSED = "question_refused"
    MODEL_BUSY = "model_busy"
    NO_KEY = "no_key"
    TOO_LONG = "too_long"


def before_question(failure: Failure, max_iterations: int) -> Reason | None:
    """Why a model isn't asked any more, or None."""
    if failure.candidate.generation >= max_iterations:
        return Reason.MAX_ITERATIONS
    if _diverging(failure):
        return Reason.DIVERGING
    return None


def after_answer(failure: Failure, code: str) -> Reason | None:
    """Why an answer leads nowhere, or None.  Comments and layout make no difference."""
    language = failure.candidate.language
    new = normalised(code, language)
    if new == normalised(failure.candidate.code, language):
        return Reason.SAME_CODE
    if any(new == normalised(earlier.code, language) for earlier in failure.history):
        return Reason.OSCILLATION
    return None


def diff_lines(before: str, after: str) -> int:
    """Lines that were taken away or added."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return sum(line[:1] in "+-" for line in lines)


def _diverging(failure: Failure) -> bool:
    """It fails as its parent did, and more was changed for it than for its parent."""
    if len(failure.history) < 2:
        return False
    before, parent = failure.history[-2:]
    same = (parent.verdict, parent.error_type, parent.error_message) == (
        failure.verdict,
        failure.error_type,
        failure.error_message,
    )
    codes = (before.code, parent.code, failure.candidate.code)
    return same and _grows(codes)


def _grows(codes: Sequence[str]) -> bool:
    changes = [diff_lines(*pair) for pair in pairwise(codes)]
    return changes[-1] > changes[-2]
