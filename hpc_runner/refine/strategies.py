"""The ways to ask for a repair, and which failure gets which; a table of names.

Each strategy is a text in prompts/; docs/refinement.md says what each one is for.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import resources

from hpc_runner.refine.failures import Failure

__all__ = ["Strategy", "instruction", "prompt_file", "usual"]


class Strategy(StrEnum):
    SYNTAX_CORRECTION = "syntax_correction"
    LOGIC_IMPROVEMENT = "logic_improvement"
    PERFORMANCE_OPTIMIZATION = "performance_optimization"
    ERROR_HANDLING = "error_handling"
    SECURITY_HARDENING = "security_hardening"
    COMPREHENSIVE = "comprehensive"
    """Where the others have not helped."""


BY_VERDICT = {
    "compile_error": Strategy.SYNTAX_CORRECTION,
    "wrong_answer": Strategy.LOGIC_IMPROVEMENT,
    "accepted": Strategy.LOGIC_IMPROVEMENT,  # without consensus: it depends on something
    "runtime_error": Strategy.ERROR_HANDLING,
    "early_exit": Strategy.ERROR_HANDLING,
    "time_limit": Strategy.PERFORMANCE_OPTIMIZATION,
    "memory_limit": Strategy.PERFORMANCE_OPTIMIZATION,
    "output_limit": Strategy.PERFORMANCE_OPTIMIZATION,
    "policy_violation": Strategy.SECURITY_HARDENING,
}
BY_ERROR = {
    "SyntaxError": Strategy.SYNTAX_CORRECTION,
    "IndentationError": Strategy.SYNTAX_CORRECTION,
    "TabError": Strategy.SYNTAX_CORRECTION,
    "AssertionError": Strategy.LOGIC_IMPROVEMENT,
    "RecursionError": Strategy.LOGIC_IMPROVEMENT,
    "MemoryError": Strategy.PERFORMANCE_OPTIMIZATION,
    "PermissionError": Strategy.SECURITY_HARDENING,
}
"""Says more than the verdict, where an error has a type."""


def usual(failure: Failure) -> Strategy:
    """The strategy for a failure, where nothing was learnt: by its error, else by its verdict;
    comprehensive once its parent was refined with that one already."""
    strategy = _by_class(failure.verdict, failure.error_type)
    if failure.history:
        before = failure.history[-1]
        if _by_class(before.verdict, before.error_type) is strategy:
            return Strategy.COMPREHENSIVE
    return strategy


def _by_class(verdict: str, error_type: str | None) -> Strategy:
    if verdict in ("runtime_error", "compile_error", "early_exit") and error_type in BY_ERROR:
        return BY_ERROR[error_type]
    return BY_VERDICT.get(verdict, Strategy.COMPREHENSIVE)


def prompt_file(name: str) -> str:
    """A text of prompts/."""
    return (resources.files("hpc_runner.refine") / "prompts" / f"{name}.md").read_text("utf-8")


def instruction(strategy: Strategy) -> str:
    return prompt_file(strategy.value)
