"""What can go wrong, by type and severity: docs/errors.md is the table in words.

A candidate's failure has the type of its vote; what goes wrong while it is repaired (an answer
that can't be read, a provider that doesn't answer) is counted besides.
"""

from __future__ import annotations

from enum import StrEnum

from hpc_runner.refine.failures import Failure

__all__ = ["ErrorType", "Severity", "classify", "signature"]


class ErrorType(StrEnum):
    SYNTAX = "syntax"
    EXECUTION = "execution"
    DEPENDENCY = "dependency"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    VALIDATION = "validation"
    API = "api"
    """The model's provider gave no answer."""
    PARSING = "parsing"
    """The model's answer was of no use."""
    INFRASTRUCTURE = "infrastructure"
    """Ours: the candidate is unjudged, and nothing is refined."""


class Severity(StrEnum):
    """How far a failure is from being mended by itself."""

    LOW = "low"
    """A repair without a model may do."""
    MEDIUM = "medium"
    """The program works, but not for every input."""
    HIGH = "high"
    """The program ends with an error, or doesn't end."""
    CRITICAL = "critical"
    """It does what it may not, or harms what runs beside it."""


BY_VERDICT = {
    "compile_error": (ErrorType.SYNTAX, Severity.LOW),
    "wrong_answer": (ErrorType.VALIDATION, Severity.MEDIUM),
    "accepted": (ErrorType.VALIDATION, Severity.MEDIUM),
    "runtime_error": (ErrorType.EXECUTION, Severity.HIGH),
    "early_exit": (ErrorType.EXECUTION, Severity.HIGH),
    "time_limit": (ErrorType.TIMEOUT, Severity.HIGH),
    "memory_limit": (ErrorType.RESOURCE, Severity.CRITICAL),
    "output_limit": (ErrorType.RESOURCE, Severity.HIGH),
    "policy_violation": (ErrorType.VALIDATION, Severity.CRITICAL),
    "internal_error": (ErrorType.INFRASTRUCTURE, Severity.CRITICAL),
}
BY_ERROR = {
    "ModuleNotFoundError": (ErrorType.DEPENDENCY, Severity.HIGH),
    "ImportError": (ErrorType.DEPENDENCY, Severity.HIGH),
    "AssertionError": (ErrorType.VALIDATION, Severity.MEDIUM),
    "MemoryError": (ErrorType.RESOURCE, Severity.CRITICAL),
    "RecursionError": (ErrorType.RESOURCE, Severity.HIGH),
    "TimeoutError": (ErrorType.TIMEOUT, Severity.HIGH),
    "NameError": (ErrorType.EXECUTION, Severity.LOW),
}
"""Says more than ``runtime_error`` does."""


def classify(verdict: str, error_type: str | None) -> tuple[ErrorType, Severity]:
    if verdict == "runtime_error" and error_type in BY_ERROR:
        return BY_ERROR[error_type]
    return BY_VERDICT.get(verdict, (ErrorType.EXECUTION, Severity.HIGH))


def signature(failure: Failure) -> str:
    """A failure in a line: verdict, error and message; messages are normalised already."""
    error = ": ".join(filter(None, [failure.error_type, failure.error_message]))
    return f"{failure.verdict} {error}".strip()[:300]
