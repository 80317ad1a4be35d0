"""What the text of a program tells of the tool in it: the function, its parameters, its words."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpc_runner.export.mcp import types
from hpc_runner.export.mcp.examples import Found
from hpc_runner.export.mcp.sandboxed import plain, shaped
from hpc_runner.export.mcp.tools import Parameter
from hpc_runner.export.mcp.types import ANY, Type
from hpc_runner.model import Assertions, Calls, Tests, Unittest

__all__ = ["Function", "bound", "fits", "parameters", "result_type", "the_function"]

_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Function:
    """A function of a program."""

    path: str
    """Its name, or ``Class.method``."""
    node: ast.FunctionDef
    docstring: str

    @property
    def method(self) -> bool:
        return "." in self.path


def the_function(tree: ast.Module, tests: Tests) -> Function | None:
    """What the tests test; without tests, the only function that the program has for others.

    None where there is none: then the program is a script.
    """
    top = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    methods = {
        f"{node.name}.{item.name}": item
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "Solution"
        for item in node.body
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
    }
    if isinstance(tests, Assertions | Calls | Unittest):
        wanted = getattr(tests, "entry_point", None) or _most_used(tests, top, methods)
        if wanted in top:
            return _function(wanted, top[wanted])
        for path, node in methods.items():
            if path.endswith(f".{wanted}"):
                return _function(path, node)
        return None
    public = [name for name in top if not name.startswith("_") and name != "main"]
    if len(public) == 1 and top[public[0]].args.args and not _reads_input(tree):
        return _function(public[0], top[public[0]])
    return None


def _function(path: str, node: ast.FunctionDef) -> Function:
    return Function(path, node, inspect.cleandoc(ast.get_docstring(node) or ""))


def _most_used(tests: Tests, top: Any, methods: Any) -> str:
    """The name of the program's that the tests use most."""
    text = tests.code + "\n".join(getattr(tests, "cases", ())) if hasattr(tests, "code") else ""
    known = {*top, *(path.partition(".")[2] for path in methods)}
    used = Counter(word for word in re.findall(r"\w+", text) if word in known)
    return used.most_common(1)[0][0] if used else ""


def _reads_input(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "input")
        or (isinstance(node, ast.Attribute) and node.attr in ("stdin", "argv"))
        for node in ast.walk(tree)
    )


def parameters(function: Function, calls: Sequence[Found]) -> tuple[Parameter, ...]:
    """Its parameters; where the annotation says nothing, or not enough for the calls that were
    validated, their types come from the calls.  ``*args`` and ``**kwargs`` are left out."""
    spec = function.node.args
    positional = [*spec.posonlyargs, *spec.args][1 if _has_self(function) else 0 :]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    defaults += spec.defaults
    given = list(zip(positional, defaults, [False] * len(positional), strict=True))
    given += zip(spec.kwonlyargs, spec.kw_defaults, [True] * len(spec.kwonlyargs), strict=True)
    names = [arg.arg for arg, _, _ in given]
    seen: dict[str, list[Any]] = {name: [] for name in names}
    for call in calls:
        for name, value in (_by_name(names, call) or {}).items():
            seen[name].append(value)
    words = _described(function.docstring)
    return tuple(
        _parameter(arg, default, keyword, seen[arg.arg], words.get(arg.arg, ""))
        for arg, default, keyword in given
    )


def _has_self(function: Function) -> bool:
    static = any(getattr(d, "id", "") == "staticmethod" for d in function.node.decorator_list)
    return function.method and not static


def _parameter(
    arg: ast.arg, default: ast.expr | None, keyword: bool, seen: list[Any], description: str
) -> Parameter:
    declared = types.annotated(arg.annotation)
    kind, source = _settled(declared, seen)
    value = None
    if default is not None:
        try:
            value = plain(ast.literal_eval(default))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = None
        if source == "unknown" and value is not None:
            kind, source = types.of_value(value), "inferred"
        if not fits(value, kind):
            kind = types.union([kind, types.of_value(value)])
    return Parameter(
        name=arg.arg,
        type=kind.as_data(),
        source=source,
        required=default is None,
        default=value,
        keyword_only=keyword,
        description=description,
    )


def _settled(declared: Type | None, seen: list[Any]) -> tuple[Type, Any]:
    if declared is not None:
        odd = [value for value in seen if not _round_trips(value, declared)]
        return (types.union([declared, types.inferred(odd)]) if odd else declared), "declared"
    if not seen:
        return ANY, "unknown"
    return types.inferred(seen), "inferred"


def _round_trips(value: Any, kind: Type) -> bool:
    """A client can say this value."""
    try:
        again = shaped(plain(value), kind.as_data())
    except (TypeError, ValueError):
        return False
    return kind == ANY or (bool(again == value) and _same_kinds(again, value))


def _same_kinds(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and all(map(_same_kinds, a, b))
    return type(a) is type(b)


def fits(value: Any, kind: Type) -> bool:
    """Whether a value of JSON is of this type."""
    try:
        shaped(value, kind.as_data())
    except (TypeError, ValueError):
        return False
    return True


def result_type(function: Function, values: Sequence[Any], plain_values: Sequence[Any]) -> Any:
    """The type of the result and where it comes from.  ``values``: results as the tests have
    them; ``plain_values``: as the function gave them, in JSON."""
    declared = types.annotated(function.node.returns)
    if declared is not None:
        odd = [value for value in plain_values if not fits(value, declared)]
        made = types.union([declared, types.inferred(odd)]) if odd else declared
        return made, "declared"
    kind = types.inferred(values) if values else ANY
    odd = [value for value in plain_values if not fits(value, kind)]
    if not values or odd:
        kind = types.inferred(plain_values)
    return (kind, "inferred") if plain_values else (ANY, "unknown")


def bound(names: Sequence[str], call: Found) -> dict[str, Any] | None:
    """The arguments of a call as a client sends them; None when they don't fit."""
    found = _by_name(names, call)
    if found is None:
        return None
    try:
        return {name: plain(value) for name, value in found.items()}
    except (TypeError, ValueError):
        return None


def _by_name(names: Sequence[str], call: Found) -> dict[str, Any] | None:
    if len(call.args) > len(names) or not set(call.kwargs) <= set(names[len(call.args) :]):
        return None
    return {**dict(zip(names, call.args, strict=False)), **call.kwargs}


_PARAMETER = re.compile(r"^\s*(?::param\s+(?:\w+\s+)?)?(\w+)\s*(?:\([^)]*\))?\s*:\s+(\S.*)$")


def _described(docstring: str) -> dict[str, str]:
    """What the docstring says of parameters, in the manners of Google and Sphinx."""
    found: dict[str, str] = {}
    for line in docstring.splitlines():
        match = _PARAMETER.match(line)
        if match is not None:
            found.setdefault(match[1], match[2].strip())
    return found
