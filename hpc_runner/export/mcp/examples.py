"""Calls with plain data that the tests, the documentation or the program itself hold."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hpc_runner.model import Assertions, Calls, Tests, Unittest

__all__ = ["MISSING", "MOST", "Found", "found_calls", "from_text"]

MOST = 12
"""So many calls are kept of one function, those with an expected value first."""
LARGEST = 4000
"""Characters of a call and its value; larger ones are left out."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
"""Of a call whose value the source doesn't say."""


@dataclass(frozen=True)
class Found:
    """A call, and the value that it must have."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: Any = MISSING

    @property
    def key(self) -> str:
        return repr((self.args, sorted(self.kwargs.items())))


def found_calls(tests: Tests, code: str, function: str, docstring: str) -> list[Found]:
    """Of the function ``function``: at most ``MOST``, each call once."""
    name = function.rpartition(".")[2]
    found: list[Found] = []
    if isinstance(tests, Calls):
        found += (Found(case.args, dict(case.kwargs), case.expected) for case in tests.cases)
    elif isinstance(tests, Assertions):
        text = "\n".join([tests.code, *tests.cases])
        found += _in_source(text, _aliases(tests, name))
    elif isinstance(tests, Unittest):
        found += _in_source(tests.code, {name})
    found += _in_docstring(docstring, name)
    found += (Found(f.args, f.kwargs) for f in _in_source(code, {name}))
    best: dict[str, Found] = {}
    for one in found:
        if len(one.key) + len(repr(one.expected)) > LARGEST:
            continue
        if one.key not in best or best[one.key].expected is MISSING:
            best[one.key] = one
    known = [one for one in best.values() if one.expected is not MISSING]
    return (known + [one for one in best.values() if one.expected is MISSING])[:MOST]


def from_text(calls: Iterable[str]) -> list[Found]:
    """Calls that were recorded as the text of their arguments, each once."""
    best: dict[str, Found] = {}
    for text in calls:
        if len(text) > LARGEST:
            continue
        try:
            args, kwargs = ast.literal_eval(text)
            found = Found(tuple(args), {str(name): value for name, value in kwargs.items()})
        except (ValueError, TypeError, SyntaxError, AttributeError, MemoryError, RecursionError):
            continue
        best.setdefault(found.key, found)
    return list(best.values())[:MOST]


def _aliases(tests: Assertions, name: str) -> set[str]:
    """What the tests call it: its name, and the parameter of ``check(candidate)``."""
    names = {name}
    for case in tests.cases:
        match = re.fullmatch(rf"\s*(\w+)\(\s*(?:\w+\.)?{re.escape(name)}\s*\)\s*", case)
        if match is not None:
            for node in ast.walk(_parsed(tests.code)):
                if isinstance(node, ast.FunctionDef) and node.name == match[1] and node.args.args:
                    names.add(node.args.args[0].arg)
    return names


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _in_source(source: str, names: set[str]) -> Iterator[Found]:
    """Calls with literal arguments; first those that are compared with a literal."""
    tree = _parsed(source)
    for node in ast.walk(tree):
        for call, value in _compared(node):
            yield from _call(call, names, value)
    for node in ast.walk(tree):
        yield from _call(node, names, MISSING)


def _compared(node: ast.AST) -> Iterable[tuple[ast.expr, Any]]:
    """Expressions that must have a value, and the value."""
    if isinstance(node, ast.Assert):
        yield from _truth(node.test, True)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    method, args = node.func.attr, node.args
    if method in ("assertEqual", "assertEquals", "assertListEqual", "assertIs") and len(args) >= 2:
        yield from _equal(args[0], args[1])
    elif method in ("assertTrue", "assertFalse") and args:
        yield args[0], method == "assertTrue"
    elif method == "assertIsNone" and args:
        yield args[0], None


def _truth(test: ast.expr, value: bool) -> Iterator[tuple[ast.expr, Any]]:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield from _truth(test.operand, not value)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and value:
        for part in test.values:
            yield from _truth(part, True)
    elif isinstance(test, ast.Compare):
        if value and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
            yield from _equal(test.left, test.comparators[0])
    else:
        yield test, value


def _equal(left: ast.expr, right: ast.expr) -> Iterator[tuple[ast.expr, Any]]:
    for call, literal in ((left, right), (right, left)):
        value = _literal(literal)
        if value is not MISSING:
            yield call, value


def _call(node: ast.AST, names: set[str], expected: Any) -> Iterator[Found]:
    if not isinstance(node, ast.Call):
        return
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    if name not in names or any(keyword.arg is None for keyword in node.keywords):
        return
    args = [_literal(arg) for arg in node.args]
    kwargs = {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
    if not any(value is MISSING for value in (*args, *kwargs.values())):
        yield Found(tuple(args), kwargs, expected)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    name = getattr(node, "func", None)
    if isinstance(name, ast.Name) and isinstance(node, ast.Call) and not node.keywords:
        # set(), set([1, 2]), float("1e5") and the like
        made = {"set": set, "frozenset": frozenset, "list": list, "tuple": tuple, "dict": dict}
        values = [_literal(arg) for arg in node.args]
        if name.id in made and len(values) < 2 and not any(v is MISSING for v in values):
            try:
                return made[name.id](*values)
            except (TypeError, ValueError):
                return MISSING
    return MISSING


def _in_docstring(docstring: str, name: str) -> Iterator[Found]:
    """Its examples in the manner of an interactive session, ``>>> f(1)`` and ``f(1) == 2``."""
    try:
        sessions = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        sessions = []
    for example in sessions:
        try:
            node = ast.parse(example.source.strip(), mode="eval").body
            value = ast.literal_eval(example.want.strip())
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            continue
        yield from _call(node, {name}, value)
    for line in docstring.splitlines():
        text = line.strip()
        if text.startswith(f"{name}(") and ("==" in text or "➞" in text or "->" in text):
            left, right = re.split(r"==|➞|->|=>", text, maxsplit=1)
            try:
                node = ast.parse(left.strip(), mode="eval").body
                value = ast.literal_eval(right.strip())
            except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
                continue
            yield from _call(node, {name}, value)
