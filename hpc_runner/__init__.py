"""Bulk validation of generated code: candidates in, voted verdicts out.

What programs may use of it stands in docs/api.md; ``__init__.pyi`` tells it to type checkers.
"""

from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "CodeRunningTool",
    "ExecutionContext",
    "ExecutionEnvironment",
    "ExecutionResult",
    "IterativeRefinementEngine",
    "MCPServerGenerator",
    "RefinementStrategy",
    "ResultCache",
    "ValidationFramework",
    "ValidationResult",
    "Vote",
    "WarmPool",
    "__version__",
    "close_pools",
    "create_code_running_tool",
    "validate",
]

_HOMES = {
    "Candidate": "model",
    "CodeRunningTool": "tool",
    "ExecutionContext": "api.types",
    "ExecutionEnvironment": "api.environment",
    "ExecutionResult": "api.types",
    "IterativeRefinementEngine": "api.refinement",
    "MCPServerGenerator": "api.generator",
    "RefinementStrategy": "api.types",
    "ResultCache": "api.environment",
    "ValidationFramework": "api.environment",
    "ValidationResult": "api.types",
    "Vote": "executions",
    "WarmPool": "warm",
    "close_pools": "validating",
    "create_code_running_tool": "tool",
    "validate": "validating",
}


def __getattr__(name: str) -> Any:
    """Public names are loaded when they are first used: importing the package loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
