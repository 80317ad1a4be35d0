"""Types of arguments and results: read from annotations, inferred from values, written as JSON
Schema and as hints.

A type knows what JSON can carry and what it can't: tuples, sets, bytes and keys that are no
text arrive as JSON has them and are made again in the sandbox, by ``sandboxed.shaped``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["ANY", "NONE", "Type", "annotated", "inferred", "of_value", "schema", "text", "union"]


@dataclass(frozen=True)
class Type:
    """``name``: any, none, bool, int, float, str, bytes, list, tuple, tuple_of (of any length),
    set, frozenset, dict, union or literal."""

    name: str
    of: tuple[Type, ...] = ()
    values: tuple[Any, ...] = ()
    """Of a literal."""

    def as_data(self) -> list[Any]:
        """As JSON: what ``sandboxed.shaped`` reads."""
        if self.name == "literal":
            return ["literal", list(self.values)]
        return [self.name, [part.as_data() for part in self.of]]

    @classmethod
    def from_data(cls, data: list[Any]) -> Type:
        name, parts = data
        if name == "literal":
            return cls("literal", values=tuple(parts))
        return cls(name, tuple(map(cls.from_data, parts)))


ANY, NONE = Type("any"), Type("none")
_PLAIN = {name: Type(name) for name in ("bool", "int", "float", "str", "bytes")}
_GENERIC = {
    "list": "list", "sequence": "list", "iterable": "list", "iterator": "list",
    "collection": "list", "mutablesequence": "list", "generator": "list", "set": "set",
    "abstractset": "set", "mutableset": "set", "frozenset": "frozenset", "dict": "dict",
    "mapping": "dict", "mutablemapping": "dict", "defaultdict": "dict", "ordereddict": "dict",
    "counter": "counter", "tuple": "tuple",
}  # fmt: skip
_BARE = {
    "list": Type("list", (ANY,)),
    "set": Type("set", (ANY,)),
    "frozenset": Type("frozenset", (ANY,)),
    "dict": Type("dict", (ANY, ANY)),
    "counter": Type("dict", (ANY, Type("int"))),
    "tuple": Type("tuple_of", (ANY,)),
}
_DEEPEST = 12


def annotated(node: ast.expr | None) -> Type | None:
    """The type that an annotation names; None for none, and for what isn't plain data."""
    if node is None:
        return None
    if isinstance(node, ast.Constant):
        if node.value is None:
            return NONE
        if isinstance(node.value, str):
            try:
                return annotated(ast.parse(node.value, mode="eval").body)
            except (SyntaxError, ValueError):
                return None
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _all_of([node.left, node.right], union)
    if isinstance(node, ast.Subscript):
        return _subscripted(node)
    return _named(_last_name(node))


def _named(name: str) -> Type | None:
    if name in _PLAIN:
        return _PLAIN[name]
    known = {"Any": ANY, "object": ANY, "None": NONE, "Text": _PLAIN["str"], "bytearray": None}
    if name in known:
        return known[name]
    if name in ("Number", "Real", "complex"):
        return _PLAIN["float"] if name != "complex" else None
    return _BARE.get(_GENERIC.get(name.lower(), ""))


def _subscripted(node: ast.Subscript) -> Type | None:
    name = _last_name(node.value).lower()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "optional":
        inner = annotated(parts[0])
        return None if inner is None else union([inner, NONE])
    if name == "union":
        return _all_of(parts, union)
    if name == "literal":
        values = [part.value for part in parts if isinstance(part, ast.Constant)]
        fit = all(isinstance(value, str | int | bool | None) for value in values)
        return Type("literal", values=tuple(values)) if fit and values else None
    if name in ("final", "annotated", "classvar"):
        return annotated(parts[0])
    kind = _GENERIC.get(name)
    if kind is None:
        return None
    if kind == "counter":
        return _all_of(parts[:1], lambda of: Type("dict", (*of, _PLAIN["int"])))
    if kind == "tuple":
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return _all_of(parts[:1], lambda of: Type("tuple_of", tuple(of)))
        return _all_of(parts, lambda of: Type("tuple", tuple(of)))
    wanted = len(_BARE[kind].of)
    if len(parts) < wanted:
        return _BARE[kind]
    return _all_of(parts[:wanted], lambda of: Type(kind, tuple(of)))


def _all_of(parts: Iterable[ast.expr], make: Any) -> Type | None:
    found = [annotated(part) for part in parts]
    if any(part is None for part in found):
        return None
    made: Type = make(found)
    return made


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def union(types: Iterable[Type]) -> Type:
    """What is any of these; the same ones once, ``any`` for all if it is among them."""
    flat: list[Type] = []
    for one in types:
        flat += one.of if one.name == "union" else (one,)
    distinct = list(dict.fromkeys(flat))
    names = {one.name for one in distinct}
    if ANY in distinct or (names & {"set", "frozenset"} and names & {"list", "tuple", "tuple_of"}):
        return ANY  # in JSON a set and a list look the same
    if _PLAIN["float"] in distinct and _PLAIN["int"] in distinct:
        distinct.remove(_PLAIN["int"])
    if not distinct:
        return ANY
    return distinct[0] if len(distinct) == 1 else Type("union", tuple(distinct))


def of_value(value: Any, depth: int = 0) -> Type:
    """The type of one value; ``any`` for what is no plain data or nested too deeply."""
    if value is None:
        return NONE
    name = type(value).__name__
    if name in _PLAIN:
        return _PLAIN[name]
    if depth > _DEEPEST or name not in ("list", "tuple", "set", "frozenset", "dict"):
        return ANY
    if name == "dict":
        keys = inferred(value.keys(), depth + 1)
        return Type("dict", (keys, inferred(value.values(), depth + 1)))
    if name == "tuple":
        return Type("tuple", tuple(of_value(item, depth + 1) for item in value))
    return Type(name, (inferred(value, depth + 1),))


def inferred(values: Iterable[Any], depth: int = 0) -> Type:
    """A type that all of these have: int and float make float, lists their items' types."""
    return _joined([of_value(value, depth) for value in values])


def _joined(types: list[Type]) -> Type:
    groups: dict[str, list[Type]] = {}
    for one in dict.fromkeys(types):
        groups.setdefault(one.name, []).append(one)
    made: list[Type] = []
    for name, group in groups.items():
        if name in ("list", "set", "frozenset", "dict"):
            known = [one for one in group if ANY not in one.of] or group
            columns = zip(*(one.of for one in known), strict=True)
            made.append(Type(name, tuple(_joined(list(column)) for column in columns)))
        elif name == "tuple" and len({len(one.of) for one in group}) > 1:
            made.append(Type("tuple_of", (_joined([part for one in group for part in one.of]),)))
        elif name == "tuple":
            columns = zip(*(one.of for one in group), strict=True)
            made.append(Type(name, tuple(_joined(list(column)) for column in columns)))
        else:
            made += group
    return union(made)


def text(kind: Type) -> str:
    """As a hint: ``list[tuple[int, str]]``."""
    parts = [text(part) for part in kind.of]
    if kind.name == "union":
        return " | ".join(parts)
    if kind.name == "literal":
        return f"Literal[{', '.join(map(repr, kind.values))}]"
    if kind.name == "tuple_of":
        return f"tuple[{parts[0]}, ...]"
    if kind.name == "tuple" and not parts:
        return "tuple[()]"
    name = {"any": "Any", "none": "None"}.get(kind.name, kind.name)
    return f"{name}[{', '.join(parts)}]" if parts else name


def schema(kind: Type) -> dict[str, Any]:
    """As JSON Schema (2020-12)."""
    if kind.name in _SCHEMAS:
        return dict(_SCHEMAS[kind.name])
    if kind.name == "union":
        return {"anyOf": [schema(part) for part in kind.of]}
    if kind.name == "literal":
        return {"enum": list(kind.values)}
    if kind.name == "dict":
        made: dict[str, Any] = {"type": "object"}
        if kind.of[1] != ANY:
            made["additionalProperties"] = schema(kind.of[1])
        if kind.of[0] not in (ANY, _PLAIN["str"]):
            made["description"] = f"Keys are {text(kind.of[0])}, written as text."
        return made
    if kind.name == "tuple":
        size = len(kind.of)
        made = {"type": "array", "minItems": size, "maxItems": size}
        return {**made, "prefixItems": [schema(part) for part in kind.of]} if size else made
    items = {} if kind.of[0] == ANY else {"items": schema(kind.of[0])}
    unique = {"uniqueItems": True} if kind.name in ("set", "frozenset") else {}
    return {"type": "array", **items, **unique}


_SCHEMAS: dict[str, dict[str, Any]] = {
    "any": {},
    "none": {"type": "null"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
}
