"""Strategies: any JSON, JSON with a part replaced, and bytes with a part damaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_SURROGATES = st.sampled_from(["\ud800", "\udc00x", "a\ud800\udc00", "\0", "\u202e", "é", "💥"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([1 << 31, 1 << 63, -(1 << 63), 1 << 80, 10**400, -1]),
    st.floats(),
    st.text(max_size=8),
    _SURROGATES,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)
DEEP = st.integers(101, 900).map(lambda depth: json.loads("[" * depth + "]" * depth))
ANYTHING = st.one_of(JSON, JSON, JSON, DEEP)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of ``value``."""
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


def replaced(value: Any, path: Sequence[Any], new: Any, how: str) -> Any:
    """A copy where the part at ``path`` is another one, is gone, or is there again."""
    if not path:
        return new
    # Only what leads to the part is copied: a deep copy of deep data would be too much for it.
    key = path[0]
    parent: Any = value.copy()
    if len(path) > 1:
        parent[key] = replaced(value[key], path[1:], new, how)
    elif how == "replace":
        parent[key] = new
    elif how == "delete":
        del parent[key]
    elif isinstance(parent, list):
        parent.append(parent[key])
    else:
        parent[str(new)[:20]] = parent[key]
    return parent


@st.composite
def mutated(draw: st.DrawFn, originals: Sequence[Any], most: int = 2) -> Any:
    """One of ``originals`` with up to ``most`` parts changed."""
    value = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, most))):
        paths = places(value)
        path = draw(st.sampled_from(paths[1:] or paths))
        how = draw(st.sampled_from(["replace", "replace", "replace", "delete", "double"]))
        value = replaced(value, path, draw(ANYTHING), how)
    return value


@st.composite
def damaged(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """One of ``originals`` with bytes flipped, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["flip", "flip", "cut", "put", "end"]))
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "put":
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif how == "end":
            del data[at:]
    return bytes(data)
