"""A fuzz target, and how long or how often it is tried.

A target is a strategy and a check.  ``opened`` is a context manager, so that an agent or a
directory is made once for all examples; what it yields is called with each of them and raises
when a promise is broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

Check = Callable[[Any], None]


@dataclass(frozen=True)
class Target:
    name: str
    strategy: SearchStrategy[Any]
    opened: Callable[[], AbstractContextManager[Check]]
    examples: int
    """With pytest: about a second's worth."""


@dataclass
class Tried:
    """What came of a target."""

    name: str
    examples: int = 0
    seconds: float = 0.0
    failures: list[str] | None = None


def try_examples(target: Target, examples: int, *, derandomize: bool = False) -> int:
    """Tries ``target`` and returns how many examples that took.  Raises what the check raises,
    for the smallest example that it does so for."""
    tried = 0
    with target.opened() as check:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=derandomize,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.strategy)
        def one(example: Any) -> None:
            nonlocal tried
            tried += 1
            check(example)

        one()
    return tried


def try_for(target: Target, seconds: float) -> Tried:
    """Tries ``target`` until the time is over; a failure is noted and ends it."""
    result = Tried(target.name, failures=[])
    started = time.monotonic()
    while result.seconds < seconds and not result.failures:
        try:
            result.examples += try_examples(target, 20 * target.examples)
        except Exception as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            result.failures = [f"{type(error).__name__}: {error}\n{notes}"]
        result.seconds = time.monotonic() - started
    return result
