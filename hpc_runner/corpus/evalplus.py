"""EvalPlus (HumanEval+ and MBPP+): inputs without outputs.

What is expected is what the canonical solution returns, so the tests are a
script that runs it: in a namespace of its own, on a deep copy of each input,
in the process of the tests.  Each input is a case.  The comparison is that of
EvalPlus's evaluator: equal, or of the same type and, when a tolerance is set
or floats are expected, within ``atol + 1e-7 * |expected|``, element by element.
Inputs stand in the script as a string of JSON: data, never code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from hpc_runner.corpus.formats_functions import humaneval_programs, identifier
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import Program, Task, validated
from hpc_runner.model import Assertions, Limits

LIMITS = Limits(wall_s=60.0, memory_bytes=1 << 30)
"""All inputs of a task share these; EvalPlus's own are 60 s and 4 GiB."""

# Which arguments of MBPP+ are no JSON: "t" a tuple, "l" a list, each followed by what is
# inside; "s" a set, "c" a complex number, "f" a float, "d" a dict of tuples, "*" tuples all
# the way down.  The last of several goes for all further arguments, "." leaves one as it is.
_SHAPES = {
    "t": "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    "lt": "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    "lt .": "75 413 444 753",
    ". t": "106 750",
    "ls": "115",
    "f c": "124",
    "t .": "250 307 405 446 617 720 763 808",
    "tt": "259 401 445 278",
    "d .": "722",
    "c": "252",
    "*": "580 615 791",
}
_SHAPE_OF = {int(number): shape for shape, tasks in _SHAPES.items() for number in tasks.split()}
_SET_EQUAL = {
    "similar_elements",
    "find_char_long",
    "common_in_nested_lists",
    "extract_singly",
    "larg_nnum",
    "intersection_array",
    "find_dissimilar",
    "Diff",
}
_NOT_NONE = {"check_str", "text_match_three", "text_starta_endb"}

_SCRIPT = """\
import copy as _copy, json as _json, math as _math

_hpc_inputs = _json.loads({inputs!r})
_hpc_reference = {reference!r}
_hpc_entry, _hpc_atol, _hpc_shape, _hpc_oracle = {entry!r}, {atol!r}, {shape!r}, {oracle!r}
_hpc_space = {{"__name__": "reference", "print": lambda *args, **kwargs: None}}


def _hpc_shaped(value, shape):
    if shape == "*":
        return tuple(_hpc_shaped(v, "*") for v in value) if isinstance(value, list) else value
    if not shape or shape == ".":
        return value
    if shape == "f":
        return float(value)
    if shape == "c":
        return complex(value)
    if shape == "d":
        return {{k: tuple(v) for k, v in value.items()}}
    if not isinstance(value, list):
        return value
    if shape == "s":
        return set(value) if value else {{}}
    return (tuple if shape[0] == "t" else list)(_hpc_shaped(v, shape[1:]) for v in value)


def _hpc_args(i):
    shapes = _hpc_shape.split() or ["."]
    return [
        _hpc_shaped(value, shapes[min(n, len(shapes) - 1)])
        for n, value in enumerate(_copy.deepcopy(_hpc_inputs[i]))
    ]


def _hpc_expected(i):
    if _hpc_entry not in _hpc_space:
        exec(compile(_hpc_reference, "<reference>", "exec"), _hpc_space)
    return _hpc_space[_hpc_entry](*_hpc_args(i))


def _hpc_close(out, exp, atol):
    if isinstance(exp, (list, tuple)):
        return (
            isinstance(out, (list, tuple))
            and len(out) == len(exp)
            and all(_hpc_close(a, b, atol) for a, b in zip(out, exp))
        )
    numbers = (int, float, complex)
    if not isinstance(out, numbers) or not isinstance(exp, numbers):
        return False
    return out == exp or abs(out - exp) <= atol + 1e-7 * abs(exp) < float("inf")


def _hpc_floats(exp):
    if isinstance(exp, (list, tuple)) and exp:
        return all(isinstance(item, float) for item in exp)
    return isinstance(exp, float)


def _hpc_case(candidate, i):
    args = _hpc_args(i)
    out = candidate(*args)
    if _hpc_oracle == "root":
        xs = _hpc_args(i)[0]
        value = sum(c * _math.pow(out, n) for n, c in enumerate(xs))
        assert abs(value) <= _hpc_atol, "input %d: not a root: %r gives %r" % (i, out, value)
        return
    exp = _hpc_expected(i)
    exact = out == exp
    if _hpc_oracle == "any":
        exact = True
    elif _hpc_oracle == "zero":
        exact = exact or out == 0
    elif _hpc_oracle == "pyramid":
        base, height = _hpc_args(i)
        slant = _math.sqrt((base / 2) ** 2 + height**2)
        exact = exact or abs(out - round(base**2 + 2 * base * slant)) <= _hpc_atol
    elif _hpc_oracle == "digits":
        a, b = map(str, _hpc_args(i))
        width = max(len(a), len(b))
        pairs = zip(a.zfill(width), b.zfill(width))
        exact = exact or out == sum(abs(int(p) - int(q)) for p, q in pairs)
    elif _hpc_oracle == "set":
        exact = set(out) == set(exp)
    elif _hpc_oracle == "not_none":
        exp = exp is not None
        exact = out == exp if isinstance(out, bool) else exp == (out is not None)
    atol = _hpc_atol or (1e-6 if _hpc_floats(exp) else 0)
    if not exact and atol:
        exact = type(out) == type(exp) and _hpc_close(out, exp, atol)
    assert exact, "input %d: expected %.200r, got %.200r" % (i, exp, out)
"""


def evalplus_task(row: Row) -> Task:
    task_id, entry_point = row.name("task_id"), identifier(row, "entry_point")
    prompt = row.text_or("prompt")
    inputs = []
    for key in ("base_input", "plus_input"):
        if not row.has(key):
            continue
        # MBPP+ has an empty object where there are no further inputs.
        listed = row.data(key) or []
        for i, args in enumerate(row.check(key, listed, list)):
            inputs.append(row.check(f"{key}[{i}]", args, list))
    if not inputs:
        raise row.bad("base_input", "there are no inputs")
    try:
        text = json.dumps(inputs)
    except RecursionError as error:
        raise row.bad("base_input", "nested too deeply") from error
    atol = row.check_number("atol", row.fields.get("atol") or 0)
    with validated(row):
        tests = Assertions(
            code=_SCRIPT.format(
                inputs=text,
                reference=prompt + row.text("canonical_solution"),
                entry=entry_point,
                atol=atol,
                shape=_shape(task_id),
                oracle=_oracle(task_id, entry_point),
            ),
            cases=tuple(f"_hpc_case({entry_point}, {i})" for i in range(len(inputs))),
            entry_point=entry_point,
        )
    return Task(task_id, tests, limits=LIMITS, prompt=prompt, entry_point=entry_point)


def evalplus_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    yield from humaneval_programs(row, task, code_field)


def _is_mbpp(task_id: str) -> bool:
    return task_id.lower().startswith("mbpp")


def _shape(task_id: str) -> str:
    number = re.search(r"\d+$", task_id)
    return _SHAPE_OF.get(int(number.group()), ".") if number and _is_mbpp(task_id) else "."


def _oracle(task_id: str, entry_point: str) -> str:
    """Tasks with more than one right answer, by name as in EvalPlus."""
    if not _is_mbpp(task_id):
        return "root" if entry_point == "find_zero" else ""
    if entry_point in _SET_EQUAL:
        return "set"
    if entry_point in _NOT_NONE:
        return "not_none"
    named = {
        "are_equivalent": "any",
        "sum_div": "zero",
        "surface_Area": "pyramid",
        "digit_distance_nums": "digits",
    }
    return named.get(entry_point, "")
