"""Plain data crosses without loss, and nothing but plain data can come out."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.sandbox.agent import CannotCross, Opaque, pack, unpack, update_in_place

text = st.text() | st.characters(categories=["Cs"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | text
    | st.binary()
    | st.complex_numbers()
)
hashable = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6
)
plain = st.recursive(
    scalars | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
        | hashable
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types all the way down; NaN is NaN, and zeros have signs."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    return bool(one == other)


def crossed(value: Any) -> Any:
    return unpack(json.loads(json.dumps(pack(value))))


@given(plain)
def test_plain_data_comes_out_as_it_went_in(value: Any) -> None:
    assert same(crossed(value), value)


library_values = (
    st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
    | st.lists(st.integers()).map(collections.deque)
)


@given(library_values)
def test_values_of_the_library_come_out_as_they_went_in(value: Any) -> None:
    found = crossed([value, (value,)])
    assert found == [value, (value,)]
    assert type(found[0]) is type(value)


class Colour(enum.Enum):
    RED = 1


class Always:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class AlwaysInt(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


ODD = [object(), Always(), Always, Colour.RED, len, lambda: 1, json, memoryview(b"x"), ...]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_anything_else_is_opaque_or_refused_however_deep_it_lies(value: Any) -> None:
    with contextlib.suppress(CannotCross):
        one, (two, inner) = crossed([value, (value, {"a": [value]})])
        for found in (one, two, *inner["a"]):
            assert type(found) is Opaque


def test_an_equality_of_its_own_does_not_cross() -> None:
    found = crossed([AlwaysInt(7)])
    assert found == [7] and isinstance(found[0], int) and found[0] != 8


def test_circles_and_endless_depth_are_refused() -> None:
    circle: list[Any] = []
    circle.append({"a": (circle,)})
    with pytest.raises(CannotCross):
        pack(circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CannotCross):
        pack(deep)
    while deep:  # freeing it in one go would recurse
        deep = deep[0]


PLAIN_TYPES = {
    type(None), bool, int, float, str, bytes, bytearray, complex,
    list, tuple, dict, set, frozenset, Opaque, type(iter([])), range, collections.deque,
    decimal.Decimal, fractions.Fraction, datetime.date, datetime.datetime, datetime.timedelta,
}  # fmt: skip

TAGS = (
    "tuple", "set", "frozenset", "dict", "bytes", "bytearray", "complex", "opaque", "iterator",
    "range", "deque", "Decimal", "Fraction", "date", "datetime", "timedelta", "namedtuple",
    "eval", "__import__",
)  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.fixed_dictionaries(
            {
                "t": st.sampled_from(TAGS),
                "v": inner | st.lists(st.tuples(inner, inner).map(list), max_size=3),
            }
        )
    ),
    max_leaves=25,
)


def types_in(value: Any) -> set[type]:
    found = {type(value)}
    if isinstance(value, dict):
        for item in [*value.keys(), *value.values()]:
            found |= types_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            found |= types_in(item)
    return found


@given(json_values)
def test_nothing_but_plain_data_comes_out_of_any_message(message: Any) -> None:
    with contextlib.suppress(ValueError):
        assert types_in(unpack(message)) <= PLAIN_TYPES


def test_an_opaque_object_equals_nothing_and_gives_nothing() -> None:
    opaque = unpack({"t": "opaque", "v": "C"})
    assert opaque != 1 and opaque != "C" and opaque != unpack({"t": "opaque", "v": "C"})
    with pytest.raises(CannotCross):
        opaque.value  # noqa: B018


containers: list[Callable[[Any], Any]] = [list, lambda x: dict(enumerate(x)), lambda x: {"k": x}]


@given(st.sampled_from(containers), st.lists(plain, max_size=4), st.lists(plain, max_size=4))
def test_an_update_in_place_keeps_the_object_and_takes_the_content(
    make: Callable[[Any], Any], before: list[Any], after: list[Any]
) -> None:
    old, new = make(before), make(after)
    identity = id(old)
    update_in_place(old, new)
    assert id(old) == identity
    if isinstance(new, dict):
        assert set(old) == set(new)
        assert all(same(old[key], new[key]) for key in new)
    else:
        assert same(old, new)


def test_floats_keep_their_bits() -> None:
    for value in (0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf):
        assert math.copysign(1, crossed(value)) == math.copysign(1, value)
        assert crossed(value) == value
    assert math.isnan(crossed(math.nan))
