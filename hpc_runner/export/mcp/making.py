"""From an accepted candidate to a tool: read, called with what its tests call it with, weighed."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpc_runner.export.mcp import types
from hpc_runner.export.mcp.analysis import capabilities, category, quality
from hpc_runner.export.mcp.calls import Place, call, recorded
from hpc_runner.export.mcp.examples import MISSING, MOST, Found, found_calls, from_text
from hpc_runner.export.mcp.names import tool_name
from hpc_runner.export.mcp.reading import (
    Function,
    bound,
    fits,
    parameters,
    result_type,
    the_function,
)
from hpc_runner.export.mcp.sandboxed import plain
from hpc_runner.export.mcp.tools import Example, Parameter, Provenance, Quality, Tool
from hpc_runner.export.mcp.types import Type
from hpc_runner.model import Assertions, Candidate, ExpectedOutput, Stdio, Unittest
from hpc_runner.sandbox.agent import same_output

__all__ = ["NoTool", "make_tool"]

_STR = Type("str")
_UNWEIGHED = Quality(
    reliability=0, tests=0, interface=0, documentation=0, safety=0, score=0
)  # until it has been called


@dataclass(frozen=True)
class NoTool:
    """Why a candidate is none."""

    reason: str


def make_tool(candidate: Candidate, provenance: Provenance, place: Place) -> Tool | NoTool:
    """The candidate is called in ``place`` with every example, twice: what it answers tells its
    result's type, whether it prints, changes its arguments, and answers the same again.

    A tool has at least one example that works.  Raises ``RuntimeFailure``.
    """
    if candidate.language != "python":
        return NoTool(f"its language is {candidate.language}; only Python programs become tools")
    try:
        tree = ast.parse(candidate.code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return NoTool(f"its text can't be read here: {error}")
    function = the_function(tree, candidate.tests)
    if function is not None:
        return _from_function(candidate, provenance, place, tree, function)
    if isinstance(candidate.tests, Stdio | ExpectedOutput) or candidate.tests.kind == "none":
        return _from_script(candidate, provenance, place, tree)
    return NoTool("no function of it is what its tests test")


# ----------------------------------------------------------------------- functions


def _from_function(
    candidate: Candidate,
    provenance: Provenance,
    place: Place,
    tree: ast.Module,
    function: Function,
) -> Tool | NoTool:
    calls = found_calls(candidate.tests, candidate.code, function.path, function.docstring)
    draft = _draft(candidate, provenance, tree, "function", function.docstring)
    draft = draft.model_copy(update={"function": function.path})
    if not calls:
        calls = _recorded(draft, candidate, place)
    if not calls:
        return NoTool("neither its tests nor its documentation hold a call with plain data")
    made = parameters(function, calls)
    draft = draft.model_copy(
        update={
            "name": tool_name(function.path, function.docstring, candidate.task_id),
            "title": _title(function.docstring, function.path),
            "parameters": made,
        }
    )
    names = [one.name for one in made]
    seen = [s for found in calls if (s := _observe(draft, names, found, place)) is not None]
    errors = [one.error for one in seen if one.error is not None]
    good = [one for one in seen if one.error is None]
    if not good:
        reason = errors[0] if errors else "their arguments don't fit its parameters"
        return NoTool(f"none of its {len(calls)} examples can be called: {reason}")
    kind, source = result_type(
        function,
        [one.found.expected for one in good if one.found.expected is not MISSING],
        [one.content["result"] for one in good],
    )
    steady = [one for one in good if one.steady]
    if not steady:
        return NoTool("it doesn't answer the same when it is asked again")
    able = capabilities(
        tree,
        printed=any("printed" in one.content for one in good),
        changed=any("changed" in one.content for one in good),
        repeatable=len(steady) == len(good),
    )
    examples = tuple(one.example() for one in steady)
    sources = [*(one.source for one in made), source]
    return _weighed(draft, kind, source, able, examples, sources, function.docstring)


def _recorded(draft: Tool, candidate: Candidate, place: Place) -> list[Found]:
    """What the tests call it with when they are run."""
    tests = candidate.tests
    if not isinstance(tests, Assertions | Unittest) or "." in draft.function:
        return []
    parts = [tests.code, *getattr(tests, "cases", ())]
    of_classes = isinstance(tests, Unittest)
    return from_text(recorded(draft, parts, of_classes, place, 10 * MOST))


@dataclass(frozen=True)
class _Seen:
    """A call that was made."""

    found: Found
    arguments: dict[str, Any]
    content: dict[str, Any]
    error: str | None
    steady: bool

    def example(self) -> Example:
        validated = False
        if self.found.expected is not MISSING:
            try:
                validated = same_plain(plain(self.found.expected), self.content["result"])
            except (TypeError, ValueError):
                validated = False
        return Example(arguments=self.arguments, expected=self.content, validated=validated)


def same_plain(expected: Any, actual: Any) -> bool:
    """Equal as JSON; floats within a billionth."""
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = zip(expected, actual, strict=False)
        return len(expected) == len(actual) and all(same_plain(e, a) for e, a in pairs)
    if isinstance(expected, dict) and isinstance(actual, dict):
        keys = expected.keys()
        return keys == actual.keys() and all(same_plain(expected[k], actual[k]) for k in keys)
    numbers = isinstance(expected, int | float) and isinstance(actual, int | float)
    if numbers and not isinstance(expected, bool) and not isinstance(actual, bool):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-9)
    return bool(expected == actual) and isinstance(expected, bool) == isinstance(actual, bool)


def _observe(draft: Tool, names: list[str], found: Found, place: Place) -> _Seen | None:
    arguments = bound(names, found)
    if arguments is None:
        return None
    fitting = all(fits(arguments.get(one.name), one.kind) or one.name not in arguments
                  for one in draft.parameters)  # fmt: skip
    missing = [one.name for one in draft.parameters if one.required and one.name not in arguments]
    if missing or not fitting:
        return None
    first = call(draft, arguments, place)
    if first.error is not None:
        return _Seen(found, arguments, {}, first.error, steady=False)
    second = call(draft, arguments, place)
    return _Seen(found, arguments, first.content, None, steady=first == second)


# ------------------------------------------------------------------------- scripts


def _from_script(
    candidate: Candidate, provenance: Provenance, place: Place, tree: ast.Module
) -> Tool | NoTool:
    docstring = ast.get_docstring(tree) or ""
    reads, takes = _uses(tree)
    made: list[Parameter] = []
    if reads or isinstance(candidate.tests, Stdio):
        described = "What the program reads."
        made.append(_parameter("stdin", _STR, "", described))
    if takes:
        described = "Arguments of the command line."
        made.append(_parameter("arguments", Type("list", (_STR,)), [], described))
    draft = _draft(candidate, provenance, tree, "script", docstring).model_copy(
        update={
            "name": tool_name("", docstring, candidate.task_id),
            "title": _title(docstring, f"Program of task {candidate.task_id}"),
            "parameters": tuple(made),
        }
    )
    examples: list[Example] = []
    problems: list[str] = []
    for stdin, expected in _inputs(candidate):
        arguments = {"stdin": stdin} if made and made[0].name == "stdin" else {}
        first, second = call(draft, arguments, place), call(draft, arguments, place)
        if first.error is not None or first != second:
            problems.append(first.error or "it doesn't answer the same when it is asked again")
            continue
        validated = expected is not None and _printed_it(candidate, expected, first.content)
        examples.append(Example(arguments=arguments, expected=first.content, validated=validated))
    if not examples:
        return NoTool(f"none of its examples can be run: {problems[0]}")
    able = capabilities(tree, printed=True, changed=False, repeatable=not problems)
    sources = ["declared"] * len(made)
    return _weighed(draft, types.ANY, "unknown", able, tuple(examples), sources, docstring)


def _uses(tree: ast.Module) -> tuple[bool, bool]:
    """Whether it reads stdin, and whether it takes arguments."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    takes = "argv" in attributes or bool({"ArgumentParser", "argparse"} & (names | attributes))
    return "input" in names or "stdin" in attributes, takes


def _parameter(name: str, kind: Type, default: Any, description: str) -> Parameter:
    return Parameter(
        name=name,
        type=kind.as_data(),
        source="declared",
        required=False,
        default=default,
        description=description,
    )


def _inputs(candidate: Candidate) -> list[tuple[str, str | None]]:
    tests = candidate.tests
    if isinstance(tests, Stdio):
        return [(case.stdin, case.stdout) for case in tests.cases[:12]]
    return [("", tests.stdout if isinstance(tests, ExpectedOutput) else None)]


def _printed_it(candidate: Candidate, expected: str, content: dict[str, Any]) -> bool:
    tests = candidate.tests
    assert isinstance(tests, Stdio | ExpectedOutput)
    actual = str(content["stdout"]).encode("utf-8", "surrogatepass")
    return same_output(expected, actual, tests.checker, tests.tolerance)


# ---------------------------------------------------------------------------- both


def _draft(
    candidate: Candidate, provenance: Provenance, tree: ast.Module, kind: Any, docstring: str
) -> Tool:
    """A tool that can be called, but isn't known yet."""
    return Tool(
        name="draft",
        title="",
        description=docstring or f"Made for the task {candidate.task_id}.",
        kind=kind,
        returns=types.ANY.as_data(),
        returns_source="unknown",
        code=candidate.code,
        env=candidate.env,
        dependencies=candidate.dependencies,
        limits=candidate.limits,
        category="general",
        quality=_UNWEIGHED,
        provenance=provenance,
    )


def _weighed(
    draft: Tool,
    kind: Type,
    source: Any,
    able: tuple[str, ...],
    examples: tuple[Example, ...],
    sources: Sequence[str],
    docstring: str,
) -> Tool:
    low = draft.provenance.agreement_low
    confidence = draft.provenance.agreement if low is None else low
    if draft.kind == "script":
        what = "data" if "data" in able else next(
            (name for name in ("network", "process", "file") if name in able), "general"
        )  # fmt: skip
    else:
        what = category(able, draft.parameters, kind)
    return draft.model_copy(
        update={
            "returns": kind.as_data(),
            "returns_source": source,
            "capabilities": able,
            "category": what,
            "tags": tuple(sorted({what, draft.kind, *draft.name.split("_")})),
            "examples": examples,
            "quality": quality(
                confidence=confidence,
                examples=examples,
                sources=sources,
                docstring=docstring,
                able=able,
            ),
        }
    )


def _title(docstring: str, otherwise: str) -> str:
    """The first sentence, as far as a title goes."""
    words = " ".join(docstring.partition(">>>")[0].partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s|:$", words, maxsplit=1)[0].rstrip(".")
    if not sentence:
        return otherwise
    return sentence if len(sentence) <= 80 else sentence[:79].rpartition(" ")[0] + "…"
