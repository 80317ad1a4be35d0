"""The options of `hpc-runner run` that are about refinement."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hpc_runner.errors import ConfigError

__all__ = ["Refining", "refine_values", "refining"]

Refining = dict[str, Any]
"""What the options of ``refining`` say; None stands for what wasn't given."""

_PANEL = "Refinement"


def _option(*names: str, help: str, **more: Any) -> Any:  # noqa: A002 - the name of the option
    return typer.Option(*names, help=help, rich_help_panel=_PANEL, **more)


def refining(
    refine: Annotated[
        str,
        _option(
            help="Have a model repair what fails: failing (all), unsolved (only of tasks that "
            "nothing solves), none. Costs money, but with --model scripted:FILE.",
            autocompletion=lambda: ["none", "failing", "unsolved"],
        ),
    ] = "none",
    model: Annotated[
        str | None,
        _option(
            help="A Claude Sonnet, batch:NAME (half the price, within a day), scripted:FILE.",
            show_default="OpenRouter's anthropic/claude-sonnet-4",
        ),
    ] = None,
    strict_model: Annotated[
        bool, _option("--strict-model", help="Stop when the model is retired: take no successor.")
    ] = False,
    max_refinement_iterations: Annotated[
        int | None,
        _option(help="Refinements of a candidate, one after the other.", show_default="3"),
    ] = None,
    budget_usd: Annotated[
        float | None, _option(metavar="USD", help="Spend no more on models.", show_default="none")
    ] = None,
    budget_tokens: Annotated[
        int | None, _option(metavar="N", help="Use no more tokens.", show_default="none")
    ] = None,
    no_test_leak: Annotated[
        bool,
        _option("--no-test-leak", help="Tell the model the kind of a failure, never the tests."),
    ] = False,
    refine_violations: Annotated[
        bool, _option("--refine-violations", help="Refine what the policy refuses, too.")
    ] = False,
    no_local_repairs: Annotated[
        bool, _option("--no-local-repairs", help="Repair nothing without a model.")
    ] = False,
    no_learning: Annotated[
        bool,
        _option("--no-learning", help="Neither use nor keep what repairs of other runs teach."),
    ] = False,
    model_concurrency: Annotated[
        int | None, _option(metavar="N", help="Questions at a time.", show_default="16")
    ] = None,
    requests_per_minute: Annotated[
        float | None,
        _option(metavar="N", help="Questions a minute, at most.", show_default="what it takes"),
    ] = None,
    tokens_per_minute: Annotated[
        float | None,
        _option(metavar="N", help="Tokens a minute, at most.", show_default="what it takes"),
    ] = None,
    key_file: Annotated[
        Path | None,
        _option(
            metavar="FILE",
            help="A file with the provider's key.",
            show_default="OPENROUTER_API_KEY and the like",
        ),
    ] = None,
    api_base: Annotated[
        str | None,
        _option(
            metavar="URL",
            help="A gateway that stands in for the provider.",
            show_default="the provider's own",
        ),
    ] = None,
) -> Refining:
    """What is refined, and how."""
    given = {
        "model": _absolute(model),
        "strict_model": strict_model or None,
        "max_iterations": max_refinement_iterations,
        "budget_usd": budget_usd,
        "budget_tokens": budget_tokens,
        "hide_tests": no_test_leak or None,
        "violations": refine_violations or None,
        "local_repairs": False if no_local_repairs else None,
        "learning": False if no_learning else None,
        "concurrency": model_concurrency,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "key_file": None if key_file is None else str(key_file.absolute()),
        "api_base": api_base,
    }
    return {"mode": refine, **{key: value for key, value in given.items() if value is not None}}


def refine_values(asked: Refining) -> dict[str, Any]:
    """The keys of ``RefineConfig``.  Raises ``ConfigError``."""
    if asked["mode"] not in ("none", "failing", "unsolved"):
        raise ConfigError(f"--refine: none, failing or unsolved (found {asked['mode']!r})")
    if asked["mode"] == "none" and len(asked) > 1:
        name = next(key for key in asked if key != "mode")
        raise ConfigError(
            f"{_NAMES.get(name, '--' + name.replace('_', '-'))} has no effect without --refine: "
            "give --refine failing or --refine unsolved as well"
        )
    found = {key: value for key, value in asked.items() if key != "learning"}
    if asked["mode"] != "none" and asked.get("learning", True):
        found["patterns"] = _patterns(os.environ.get("HPC_RUNNER_PATTERNS"))
    return found


def _patterns(given: str | None) -> str | None:
    """The directory of what is learnt; "off" for none."""
    from hpc_runner.refine.patterns import default_directory

    if given == "off":
        return None
    return str(Path(given).absolute() if given else default_directory())


_NAMES = {
    "max_iterations": "--max-refinement-iterations",
    "hide_tests": "--no-test-leak",
    "violations": "--refine-violations",
    "local_repairs": "--no-local-repairs",
    "learning": "--no-learning",
    "concurrency": "--model-concurrency",
}


def _absolute(model: str | None) -> str | None:
    """A script is found from any directory."""
    prefix = "scripted:"
    if model is None or not model.startswith(prefix):
        return model
    return prefix + str(Path(model.removeprefix(prefix)).absolute())
