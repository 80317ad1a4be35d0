"""Formats of programming contests: APPS, TACO, CodeContests, SYNTHETIC-1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hpc_runner.corpus.formats_functions import identifier
from hpc_runner.corpus.languages import canonical
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import (
    CONTEST_HEADER,
    Program,
    Task,
    chosen_field,
    stdio,
    validated,
)
from hpc_runner.model import Calls, Case, Limits, Tests

_APPS_TOLERANCE = 1e-5
_CODE_CONTESTS_LANGUAGES = {1: "python2", 2: "cpp", 3: "python", 4: "java"}
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "millisecond": 1e-3, "minute": 60.0}
_BYTES = {
    "b": 1, "byte": 1, "kb": 1 << 10, "kib": 1 << 10, "kilobyte": 1 << 10,
    "mb": 1 << 20, "mib": 1 << 20, "megabyte": 1 << 20,
    "gb": 1 << 30, "gib": 1 << 30, "gigabyte": 1 << 30,
}  # fmt: skip


def apps_task(row: Row) -> Task:
    """``input_output`` decides: with ``fn_name`` calls, without it programs on stdin."""
    task_id = row.name("problem_id", "task_id", "id") if _named(row) else f"task/{row.index}"
    key = "input_output"
    content = row.check(key, row.data(key), dict)
    inputs, outputs = _pairs(row, key, content, ("inputs", "outputs"))
    name = content.get("fn_name")
    tests: Tests
    if name:
        inner = Row(row.file, row.number, row.index, {"input_output.fn_name": name})
        entry_point = identifier(inner, "input_output.fn_name")
        hint = row.text_or("starter_code")
        tests = calls(row, key, entry_point, inputs, outputs, hint)
    else:
        entry_point = None
        pairs = [
            (_lines(row, f"{key}.inputs[{i}]", given), _lines(row, f"{key}.outputs[{i}]", wanted))
            for i, (given, wanted) in enumerate(zip(inputs, outputs, strict=True))
        ]
        tests = stdio(row, key, pairs, _APPS_TOLERANCE)
    return Task(task_id, tests, limits=_limits(row), entry_point=entry_point, header=CONTEST_HEADER)


def apps_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """Each of ``solutions`` (a list, or the JSON of one)."""
    key = code_field or "solutions"
    if key != "solutions":
        yield from chosen_field(row, key)
        return
    # APPS writes an empty string where a problem has no solutions.
    listed = row.strings(key) if row.fields.get(key) else []
    if not listed:
        raise row.bad(key, "there are no solutions; give samples, or another --code-field")
    for i, text in enumerate(listed):
        yield Program(f"{key}[{i}]", text)


def calls(
    row: Row, key: str, entry_point: str, inputs: list[Any], outputs: list[Any], hint: str
) -> Calls:
    """Calls with positional arguments.

    APPS and what was made from it wrap a result in a list of one: where every
    output of a task is such a list it is taken off, unless ``hint`` (starter
    code or a solution) says that the function returns a list.
    """
    wrapped = all(isinstance(output, list) and len(output) == 1 for output in outputs)
    if wrapped and not _returns_list(entry_point, hint):
        outputs = [output[0] for output in outputs]
    for i, args in enumerate(inputs):
        row.check(f"{key}.inputs[{i}]", args, list)
    row.check_data(f"{key}.inputs", inputs)
    row.check_data(f"{key}.outputs", outputs)
    with validated(row, key):
        return Calls(
            entry_point=entry_point,
            cases=tuple(
                Case(args=tuple(args), expected=wanted)
                for args, wanted in zip(inputs, outputs, strict=True)
            ),
            tolerance=_APPS_TOLERANCE if _any_float(outputs) else None,
        )


def _returns_list(entry_point: str, hint: str) -> bool:
    pattern = rf"def[ \t]+{re.escape(entry_point)}\b[^\n]*->[ \t]*['\"]?(?:typing\.)?(\w+)"
    found = re.search(pattern, hint)
    return found is not None and found.group(1).lower() in {"list", "tuple", "sequence"}


def _any_float(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float):
            return True
        if isinstance(item, list | tuple):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
    return False


def _named(row: Row) -> bool:
    return any(row.fields.get(key) is not None for key in ("problem_id", "task_id", "id"))


def _pairs(
    row: Row, key: str, content: dict[str, Any], names: tuple[str, str]
) -> tuple[list[Any], list[Any]]:
    first, second = (row.check(f"{key}.{name}", content.get(name), list) for name in names)
    if len(first) != len(second):
        raise row.bad(key, f"{len(first)} {names[0]} but {len(second)} {names[1]}")
    if not first:
        raise row.bad(key, "there are no tests")
    return first, second


def _lines(row: Row, key: str, value: Any) -> str:
    """Text, or a list of lines."""
    if isinstance(value, list):
        return "\n".join(row.check_text(f"{key}[{i}]", line) for i, line in enumerate(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return row.check_text(key, value)


def _limits(row: Row) -> Limits:
    """``time_limit`` and ``memory_limit`` of TACO: "2.0 seconds", "256 megabytes"; of a
    range the upper end counts, and 1 megabyte is 2**20 bytes, as contest sites mean it."""
    given: dict[str, Any] = {}
    if row.fields.get("time_limit") not in (None, ""):
        given["wall_s"] = _quantity(row, "time_limit", _SECONDS)
    if row.fields.get("memory_limit") not in (None, ""):
        given["memory_bytes"] = int(_quantity(row, "memory_limit", _BYTES))
    return _made(row, given)


def _quantity(row: Row, key: str, units: dict[str, Any]) -> float:
    text = row.text(key)
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"\s*{number}(?:\s*-\s*{number})?\s*([A-Za-z]+)\.?\s*", text)
    word = found.group(3).lower() if found else ""
    unit = units.get(word) or units.get(word.removesuffix("s"))
    if found is None or unit is None:
        example = "2.0 seconds" if units is _SECONDS else "256 megabytes"
        raise row.bad(key, f"expected a limit like {example!r}, found {text[:60]!r}")
    return max(float(value) for value in found.groups()[:2] if value) * float(unit)


def _made(row: Row, given: dict[str, Any]) -> Limits:
    names = {"wall_s": "time_limit", "memory_bytes": "memory_limit"}
    for key, value in given.items():
        with validated(row, names[key]):
            Limits.model_validate({key: value})
    return Limits.model_validate(given)


def code_contests_task(row: Row) -> Task:
    for key in ("input_file", "output_file"):
        if row.fields.get(key):
            raise row.bad(key, f"reads or writes the file {row.text(key)!r}; only stdin and stdout")
    pairs: list[tuple[str, str]] = []
    for key in ("public_tests", "private_tests", "generated_tests"):
        listed = _columns(row, key, ("input", "output"))
        for i, (given, wanted) in enumerate(listed):
            where = f"{key}[{i}]"
            pairs.append((row.check_text(where, given), row.check_text(where, wanted)))
    given_limits: dict[str, Any] = {}
    seconds = _duration(row, row.fields.get("time_limit"))
    if seconds is not None:
        given_limits["wall_s"] = seconds
    if row.fields.get("memory_limit_bytes"):
        key = "memory_limit_bytes"
        given_limits["memory_bytes"] = row.check(key, row.get(key), int)
    return Task(
        row.name("name"), stdio(row, "public_tests", pairs, 1e-5), limits=_made(row, given_limits)
    )


def _columns(row: Row, key: str, names: tuple[str, str]) -> list[tuple[Any, Any]]:
    """Pairs from an object of two lists, or from a list of objects."""
    value = row.fields.get(key)
    if value is None:
        return []
    value = row.data(key)
    if isinstance(value, list):
        items = [row.check(f"{key}[{i}]", item, dict) for i, item in enumerate(value)]
        return [(item.get(names[0]), item.get(names[1])) for item in items]
    content = row.check(key, value, dict)
    first, second = (row.check(f"{key}.{name}", content.get(name), list) for name in names)
    if len(first) != len(second):
        raise row.bad(key, f"{len(first)} of {names[0]} but {len(second)} of {names[1]}")
    return list(zip(first, second, strict=True))


def _duration(row: Row, value: Any) -> float | None:
    if isinstance(value, dict):
        parts = [value.get("seconds") or 0, value.get("nanos") or 0]
        seconds, nanos = (row.check_number("time_limit", part) for part in parts)
        return seconds + nanos / 1e9 or None
    if value is None:
        return None
    return row.check_number("time_limit", value) or None


def code_contests_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """``solutions`` in Python 3.  ``--code-field`` may name ``incorrect_solutions`` and,
    after a colon, another language or ``all``: ``solutions:cpp``."""
    key, _, wanted = (code_field or "solutions").partition(":")
    if key not in ("solutions", "incorrect_solutions"):
        yield from chosen_field(row, key)
        return
    language = "all" if wanted == "all" else canonical(wanted or "python")
    if language is None:
        raise row.bad(key, f"no language is known as {wanted!r}")
    seen = set()
    for i, (number, text) in enumerate(_columns(row, key, ("language", "solution"))):
        where = f"{key}[{i}]"
        name = _CODE_CONTESTS_LANGUAGES.get(number) if isinstance(number, int) else None
        if isinstance(number, str):
            name = "python2" if number.upper() == "PYTHON" else canonical(number)
        seen.add(name or "unknown")
        if name is not None and language in ("all", name):
            yield Program(where, row.check_text(where, text), language=name)
    if language != "all" and language not in seen:
        raise row.bad(key, f"none is in {language}; there is {', '.join(sorted(seen)) or 'none'}")


def synthetic1_task(row: Row) -> Task:
    key = "verification_info"
    content = row.check(key, row.data(key, literal=True), dict)
    if content.get("test_cases") is None:
        kind = str(row.fields.get("task_type"))[:60]
        raise row.bad(key, f"no test_cases: the task is of type {kind}, not verifiable code")
    language = canonical(str(content.get("language") or "python"))
    if language is None:
        raise row.bad(f"{key}.language", f"no language is known as {content['language']!r}")
    listed = row.check(f"{key}.test_cases", content["test_cases"], list)
    cases = [row.check(f"{key}.test_cases[{i}]", case, dict) for i, case in enumerate(listed)]
    named = [case.get("fn_name") for case in cases if case.get("type") == "function_call"]
    task_id = row.name("problem_id", "in_source_id")
    if not named:
        pairs = [
            (
                _lines(row, f"{key}.test_cases[{i}].input", case.get("input")),
                _lines(row, f"{key}.test_cases[{i}].output", case.get("output")),
            )
            for i, case in enumerate(cases)
        ]
        return Task(task_id, stdio(row, key, pairs, 1e-6), language)
    if len(named) < len(cases) or any(name != named[0] for name in named):
        raise row.bad(f"{key}.test_cases", "more than one kind of test, or of function, in a task")
    inner = Row(row.file, row.number, row.index, {f"{key}.fn_name": named[0]})
    entry_point = identifier(inner, f"{key}.fn_name")
    inputs = [case.get("input") for case in cases]
    outputs = [case.get("output") for case in cases]
    hint = row.text_or("prompt") + "\n" + row.text_or("gold_standard_solution")
    tests = calls(row, key, entry_point, inputs, outputs, hint)
    return Task(task_id, tests, language, entry_point=entry_point, header=CONTEST_HEADER)


def synthetic1_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """The model's answer, where there is one; in the tasks alone the standard solution."""
    default = "llm_response" if row.has("llm_response") else "gold_standard_solution"
    yield from chosen_field(row, code_field or default)
