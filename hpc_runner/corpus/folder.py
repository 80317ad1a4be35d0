"""A folder of source files: each file is a candidate, its path without suffix the task.

What lies beside ``NAME.py`` says how it is judged:
``NAME.in`` and ``NAME.out`` (or ``NAME.1.in``, ``NAME.1.out``, ...) are stdin and
expected stdout, ``NAME.out`` alone is the expected output, and ``NAME_test.py``
holds assertions or ``unittest`` classes.  Without any it must run without error.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from hpc_runner.corpus.languages import BY_EXTENSION
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import Program, Task, candidate
from hpc_runner.errors import CorpusError, RowError
from hpc_runner.model import (
    Assertions,
    Candidate,
    ExpectedOutput,
    NoTests,
    Stdio,
    StdioCase,
    Tests,
    Unittest,
)

MAX_FILE_BYTES = 64 << 20


def sources(folder: Path) -> list[Path]:
    """The files that are candidates, sorted; tests of others and hidden files left out."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in BY_EXTENSION
        and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        and path.is_file()
        and not _is_test(path)
    ]


def _is_test(path: Path) -> bool:
    stem = path.stem
    return stem.endswith("_test") and path.with_name(stem[:-5] + path.suffix).exists()


def companions(source: Path) -> list[Path]:
    """The files beside ``source`` that say how it is judged, sorted."""
    name = re.escape(source.stem)
    suffix = re.escape(source.suffix)
    pattern = re.compile(rf"{name}(?:(?:\.\d+)?\.(?:in|out)|_test{suffix})")
    return sorted(path for path in source.parent.iterdir() if pattern.fullmatch(path.name))


def read_folder(folder: Path) -> Iterator[tuple[str, Candidate] | RowError]:
    """Pairs of file and candidate; a file that can't be used is a ``RowError``."""
    for index, source in enumerate(sources(folder)):
        row = Row(str(source), 0, index, {})
        try:
            yield str(source), _candidate(row, folder, source)
        except RowError as error:
            yield error


def _candidate(row: Row, folder: Path, source: Path) -> Candidate:
    name = source.relative_to(folder).with_suffix("").as_posix()
    language = BY_EXTENSION[source.suffix.lower()].name
    task = Task(row.check_text("file name", name), _tests(row, source), language)
    return candidate(row, task, Program("", _text(row, "", source), final=True))


def _text(row: Row, key: str, path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise row.bad(key, f"{path.name} has more than {MAX_FILE_BYTES} bytes")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise row.bad(key, f"{path.name}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise CorpusError(f"{path}: can't be read: {error}") from error


def _tests(row: Row, source: Path) -> Tests:
    beside = {path.name: path for path in companions(source)}
    test = beside.pop(f"{source.stem}_test{source.suffix}", None)
    if test is not None:
        if beside:
            raise row.bad(test.name, f"there is {next(iter(beside))} as well; give one of the two")
        code = _text(row, test.name, test)
        if source.suffix.lower() != ".py":
            return Assertions(code=code, cases=("all",))
        return _script(row, test.name, code)
    inputs = {name[:-3]: path for name, path in beside.items() if name.endswith(".in")}
    outputs = {name[:-4]: path for name, path in beside.items() if name.endswith(".out")}
    if not beside:
        return NoTests()
    if not inputs and list(outputs) == [source.stem]:
        name = f"{source.stem}.out"
        return ExpectedOutput(stdout=_text(row, name, outputs[source.stem]))
    for name in sorted(inputs.keys() ^ outputs.keys()):
        there, other = (".in", ".out") if name in inputs else (".out", ".in")
        raise row.bad(name + other, f"is missing beside {name}{there}")
    cases = tuple(
        StdioCase(
            stdin=_text(row, f"{name}.in", inputs[name]),
            stdout=_text(row, f"{name}.out", outputs[name]),
        )
        for name in sorted(inputs, key=_case_order)
    )
    return Stdio(cases=cases)


def _case_order(name: str) -> tuple[int, str]:
    number = name.rpartition(".")[2]
    return (int(number) if number.isdigit() else -1, name)


def _script(row: Row, key: str, code: str) -> Tests:
    """A class that derives from ``TestCase`` makes it unittest.  Or else each function
    ``test_*`` is a case, or else each assertion at the left margin with what leads to it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise row.bad(key, f"not Python: {error}") from error
    for node in body:
        if isinstance(node, ast.ClassDef) and any("TestCase" in ast.dump(b) for b in node.bases):
            return Unittest(code=code)
    functions = [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not node.args.args
    ]
    if functions:
        return Assertions(code=code, cases=tuple(f"{name}()" for name in functions))
    lines = code.splitlines(keepends=True)
    starts = [_first_line(node) for node in body]
    last = [i for i, node in enumerate(body) if isinstance(node, ast.Assert)]
    if not last:
        raise row.bad(key, "no assert, no function test_* and no unittest.TestCase in it")
    first = last[0]
    bounds = [0, starts[first], *(starts[i + 1] for i in last[:-1]), len(lines)]
    parts = ["".join(lines[a:b]) for a, b in pairwise(bounds)]
    return Assertions(code=parts[0], cases=tuple(parts[1:]))


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(item.lineno for item in decorators)]) - 1
