"""Tools that do the same: one of them is kept.

Two tools do the same when they take their arguments alike, and every input that one of them
was validated with gives the same answer with the other: ``FEWEST`` inputs at least, unless
they were made for the same task.  Of those that do, the one of the highest quality is kept,
the shorter one where they are equal, then the one that comes first.

Only tools that have something in common are compared: the task, the function's name, or an
input with its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hpc_runner.export.mcp.calls import Place, call
from hpc_runner.export.mcp.reading import fits
from hpc_runner.export.mcp.tools import Example, Tool

__all__ = ["distinct"]

FEWEST = 3


def distinct(tools: Sequence[Tool], place: Place) -> list[Tool]:
    """Those that are kept, in their order, each with the candidates that it stands for.

    Raises ``RuntimeFailure``.
    """
    best = sorted(range(len(tools)), key=lambda i: (-tools[i].quality.score, len(tools[i].code), i))
    kept: dict[int, Tool] = {}
    marked: dict[str, list[int]] = {}
    for index in best:
        tool = tools[index]
        marks = sorted(_marks(tool))
        others = dict.fromkeys(other for mark in marks for other in marked.get(mark, ()))
        twin = next((other for other in others if _same(kept[other], tool, place)), None)
        if twin is not None:
            kept[twin] = _standing_for(kept[twin], tool)
            continue
        kept[index] = tool
        for mark in marks:
            marked.setdefault(mark, []).append(index)
    return [kept[index] for index in sorted(kept)]


def _marks(tool: Tool) -> Iterator[str]:
    yield f"task {tool.provenance.task_id}"
    if tool.function:
        yield f"function {tool.function}"
    for example in tool.examples:
        yield json.dumps([_inputs(tool, example), example.expected], sort_keys=True)


def _inputs(tool: Tool, example: Example) -> list[Any]:
    """The arguments in the order of the parameters, as far as they are given."""
    given = (one.name for one in tool.parameters if one.name in example.arguments)
    return [example.arguments[name] for name in given]


def _standing_for(kept: Tool, other: Tool) -> Tool:
    found = kept.provenance
    ids = (*found.same_behaviour, other.provenance.candidate_id)
    return kept.model_copy(update={"provenance": found.model_copy(update={"same_behaviour": ids})})


def _same(one: Tool, other: Tool, place: Place) -> bool:
    if one.kind != other.kind or len(one.parameters) != len(other.parameters):
        return False
    if one.provenance.task_id != other.provenance.task_id:
        inputs = {json.dumps(_inputs(t, e)) for t in (one, other) for e in t.examples}
        if len(inputs) < FEWEST:
            return False
    return _gives(one, other, place) and _gives(other, one, place)


def _gives(tool: Tool, of: Tool, place: Place) -> bool:
    """``tool`` gives what ``of`` gives, for each of the examples of ``of``."""
    names = {a.name: b.name for a, b in zip(of.parameters, tool.parameters, strict=True)}
    known = {json.dumps(e.arguments, sort_keys=True): e.expected for e in tool.examples}
    calls = []
    for example in of.examples:
        arguments = {names[name]: value for name, value in example.arguments.items()}
        expected = known.get(json.dumps(arguments, sort_keys=True))
        if expected is None:
            calls.append((arguments, example.expected))
        elif expected != example.expected:
            return False
    for arguments, expected in calls:
        if not all(fits(arguments[p.name], p.kind) for p in tool.parameters if p.name in arguments):
            return False
        outcome = call(tool, arguments, place)
        if outcome.error is not None or outcome.content != expected:
            return False
    return True
