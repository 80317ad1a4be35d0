"""Commands that share their options: one function has them, others take its result."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["taking"]

Made = TypeVar("Made")
Own = ParamSpec("Own")
Result = TypeVar("Result")


def taking(
    options: Callable[..., Made],
) -> Callable[[Callable[Concatenate[Made, Own], Result]], Callable[..., Result]]:
    """Make a command's first parameter the result of ``options``, whose own parameters become
    options of the command, before those that it has itself.

        @taking(planning)
        def run(asked: Asked, out: ... = None) -> None: ...
    """

    def decorate(command: Callable[Concatenate[Made, Own], Result]) -> Callable[..., Result]:
        shared = inspect.signature(options, eval_str=True).parameters
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        def called(**given: Any) -> Result:
            made = options(**{name: given.pop(name) for name in shared})
            return command(made, **given)  # type: ignore[call-arg]

        functools.update_wrapper(called, command)
        both = [*shared.values(), *own]
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in both]
        )
        called.__annotations__ = {each.name: each.annotation for each in both}
        del called.__wrapped__  # type: ignore[attr-defined]
        return called

    return decorate
