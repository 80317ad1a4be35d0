"""The options of `hpc-runner run` that are about policy and dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hpc_runner.errors import ConfigError

__all__ = [
    "AllowDependency",
    "AllowEnv",
    "JudgeMode",
    "PolicyMode",
    "PolicyRule",
    "Suspicious",
    "Wheelhouse",
    "policy_values",
]

_PANEL = "Policy, before anything runs"
_MODES = ("warn", "refuse", "off")

PolicyMode = Annotated[
    str,
    typer.Option(
        "--policy",
        help="warn: record what the rules find; refuse: don't run it; off: don't look. "
        "docs/policy.md lists the rules.",
        autocompletion=lambda: list(_MODES),
        rich_help_panel=_PANEL,
    ),
]
JudgeMode = Annotated[
    str,
    typer.Option(
        "--judge",
        help="split: tests in a process of their own; inline: in the candidate's; auto: split "
        "where the tests need nothing but plain data.",
        autocompletion=lambda: ["auto", "split", "inline"],
        rich_help_panel=_PANEL,
    ),
]
Suspicious = Annotated[
    str,
    typer.Option(
        help="flag: report who passes with signs of tampering; fail: don't accept it.",
        autocompletion=lambda: ["flag", "fail"],
        rich_help_panel=_PANEL,
    ),
]
PolicyRule = Annotated[
    list[str] | None,
    typer.Option(
        help="What one rule does, as HR301=off, =warn or =refuse. May be repeated.",
        metavar="ID=WHAT",
        rich_help_panel=_PANEL,
    ),
]
AllowDependency = Annotated[
    list[str] | None,
    typer.Option(
        help="A package that candidates may use; then no other one. May be repeated.",
        metavar="NAME",
        rich_help_panel=_PANEL,
    ),
]
AllowEnv = Annotated[
    list[str] | None,
    typer.Option(
        help="A variable, or a pattern as APP_*, that candidates may be given; then no other "
        "one. May be repeated.",
        metavar="NAME",
        rich_help_panel=_PANEL,
    ),
]
Wheelhouse = Annotated[
    Path | None,
    typer.Option(
        help="Take dependencies from this directory of wheels and from no index.",
        metavar="DIR",
        rich_help_panel=_PANEL,
    ),
]


def policy_values(
    mode: str,
    rules: Sequence[str] | None,
    dependencies: Sequence[str] | None,
    variables: Sequence[str] | None,
    wheelhouse: Path | None,
) -> dict[str, Any]:
    """The options as values of ``RunConfig``.  Raises ``ConfigError`` for a rule that is not
    given as ID=WHAT, or is given twice."""
    given: dict[str, str] = {}
    for text in rules or ():
        rule, equals, what = text.partition("=")
        if not equals or what not in _MODES:
            raise ConfigError(f"--policy-rule: as HR301=off, =warn or =refuse (found {text!r})")
        if rule in given:
            raise ConfigError(f"--policy-rule: {rule} is given twice")
        given[rule] = what
    return {
        "policy": {
            "mode": mode,
            "rules": given,
            "allow_dependencies": tuple(dependencies or ()),
            "allow_env": tuple(variables or ()),
        },
        "wheelhouse": None if wheelhouse is None else str(wheelhouse.absolute()),
    }
