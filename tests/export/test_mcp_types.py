"""Types of tools: from annotations and values, to JSON Schema and back through JSON."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpc_runner.export.mcp.sandboxed import plain, shaped
from hpc_runner.export.mcp.types import Type, annotated, inferred, of_value, schema, text

jsonschema = pytest.importorskip("jsonschema")


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("int", "int"),
        ("List[int]", "list[int]"),
        ("typing.Dict[str, List[Tuple[int, ...]]]", "dict[str, list[tuple[int, ...]]]"),
        ("Optional[str]", "str | None"),
        ("int | float | None", "float | None"),
        ("Union[int, str]", "int | str"),
        ("Literal['a', 'b']", "Literal['a', 'b']"),
        ("'List[int]'", "list[int]"),
        ("Iterable[bytes]", "list[bytes]"),
        ("tuple[int, str]", "tuple[int, str]"),
        ("set", "set[Any]"),
        ("Any", "Any"),
        ("Counter[str]", "dict[str, int]"),
    ],
)
def test_annotations_are_understood(hint: str, told: str) -> None:
    kind = annotated(ast.parse(hint, mode="eval").body)
    assert kind is not None
    assert text(kind) == told
    assert Type.from_data(json.loads(json.dumps(kind.as_data()))) == kind
    jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize("hint", ["TreeNode", "Callable[[int], int]", "List[TreeNode]", "3 + 4"])
def test_what_json_can_not_carry_has_no_type(hint: str) -> None:
    assert annotated(ast.parse(hint, mode="eval").body) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1, 2.5], "float"),
        ([[1, 2], []], "list[int]"),
        ([(1, "a"), (2, "b")], "tuple[int, str]"),
        ([(1,), (1, 2)], "tuple[int, ...]"),
        ([{"a": 1}, {}], "dict[str, int]"),
        ([None, 1], "None | int"),
        ([{1, 2}], "set[int]"),
        ([object()], "Any"),
    ],
)
def test_types_are_inferred_from_values(values: list[Any], told: str) -> None:
    assert text(inferred(values)) == told


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False, allow_infinity=False)
)
_keys = st.text() | st.integers()


def _collections(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.dictionaries(_keys, inner)
    )


@given(st.recursive(_scalars, _collections, max_leaves=8))
@example([set(), [None, None]])
def test_a_value_is_of_the_type_that_is_inferred_from_it(value: Any) -> None:
    """Its JSON satisfies the schema, and is made a value of that type again."""
    kind = of_value(value)
    sent = json.loads(json.dumps(plain(value)))
    jsonschema.Draft202012Validator(schema(kind)).validate(sent)
    again = shaped(sent, kind.as_data())
    assert plain(again) == plain(value)


@given(st.recursive(_scalars, lambda i: st.lists(i) | st.tuples(i, i), max_leaves=8))
def test_lists_tuples_and_bytes_come_back_as_themselves(value: Any) -> None:
    kind = of_value(value)
    again = shaped(json.loads(json.dumps(plain(value))), kind.as_data())
    # A union can't tell bytes from text, and int and float are one type together.
    if "|" not in text(kind):
        assert again == value


@pytest.mark.parametrize(
    ("value", "said"),
    [(float("nan"), "no word for"), (object(), "no plain data"), (lambda: 1, "no plain data")],
)
def test_results_that_json_can_not_hold_are_refused(value: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        plain([value])


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="circle"):
        plain(circle)
