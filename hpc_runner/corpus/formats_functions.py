"""Formats whose tests call a function: HumanEval, HumanEvalPack, MBPP, BigCodeBench."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from hpc_runner.corpus.answers import defines
from hpc_runner.corpus.languages import canonical
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import Program, Task, chosen_field, validated
from hpc_runner.model import Assertions, Limits, Unittest
from hpc_runner.sandbox.native import WHOLE_TEST

_GO_OFFERED = ("bytes", "crypto/md5", "fmt", "math", "math/rand", "regexp", "sort", "strconv",
               "strings", "time")  # fmt: skip
_CPP_HEAD = re.compile(r"^#include.*$", re.MULTILINE)


def humaneval_task(row: Row) -> Task:
    entry_point = identifier(row, "entry_point")
    tests = Assertions(
        code=row.text("test"), cases=(f"check({entry_point})",), entry_point=entry_point
    )
    return Task(row.name("task_id"), tests, prompt=row.text_or("prompt"), entry_point=entry_point)


def humaneval_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """The body in ``canonical_solution``, or another field: a program if it defines
    the entry point at the left margin, or else a body as well."""
    for program in chosen_field(row, code_field or "canonical_solution"):
        yield _placed(task, program)


def _placed(task: Task, program: Program) -> Program:
    text, entry_point = program.text, task.entry_point
    whole = bool(entry_point) and (
        defines(text, str(entry_point), task.language) and not text[:1].isspace()
    )
    return Program(program.key, text, completion=program.completion or not whole)


def identifier(row: Row, key: str) -> str:
    name = row.text(key)
    if not re.fullmatch(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*", name):
        raise row.bad(key, f"expected the name of a function, found {name[:60]!r}")
    return name


def humanevalpack_task(row: Row) -> Task:
    task_id = row.name("task_id")
    language = canonical(row.text_or("language") or task_id.partition("/")[0])
    if language is None:
        raise row.bad("task_id", f"no language known by the name in {task_id[:60]!r}")
    entry_point = identifier(row, "entry_point")
    if language == "python":
        code, case = _split_last(row, row.text("test"))
        tests = Assertions(code=code, cases=(case,), entry_point=entry_point)
        return Task(task_id, tests, prompt=row.text_or("prompt"), entry_point=entry_point)
    source, prompt = row.text("test"), row.text_or("prompt")
    if not prompt:
        prompt = row.text("declaration")
    elif language == "cpp":
        # Prompts lack headers that declarations have; one declaration goes on where it shouldn't.
        named = _CPP_HEAD.findall(row.text("declaration"))
        prompt = "".join(f"{line}\n" for line in named) + prompt
    if language == "rust" and "fn main" not in prompt:
        prompt = "fn main(){}\n" + prompt
    if language == "go":
        source = _go_file(row, source)
    tests = Assertions(code=source, cases=(WHOLE_TEST,), entry_point=entry_point)
    return Task(task_id, tests, language, prompt=prompt, entry_point=entry_point)


def humanevalpack_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """Prompt and body as one program; Go's gets its package clause and its imports."""
    if task.language == "python":
        yield from humaneval_programs(row, task, code_field)
        return
    for program in chosen_field(row, code_field or "canonical_solution"):
        text = task.prompt + program.text
        if task.language == "go":
            text = _go_file(row, text)
        yield Program(program.key, text, final=True)


def _split_last(row: Row, test: str) -> tuple[str, str]:
    """The test's last statement, ``check(name)``, is the case; what is above it is its code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(test).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise row.bad("test", f"not Python: {error}") from error
    if not body:
        raise row.bad("test", "there are no tests")
    lines = test.splitlines(keepends=True)
    at = body[-1].lineno - 1
    return "".join(lines[:at]), "".join(lines[at:]).strip()


def _go_file(row: Row, source: str) -> str:
    """``source`` as a file of package main that imports just what it uses, of what the
    row names and what the format's own harness offers: Go refuses an import that isn't used."""
    named = row.text_or("import") + row.text_or("test_setup")
    source = re.sub(r"^\s*import\s*(?:\([^)]*\)|\"[^\"]*\")", "", source)
    code = re.sub(r"//[^\n]*", "", source)
    offered = dict.fromkeys([*re.findall(r'"([^"\n]+)"', named), *_GO_OFFERED])
    used = [
        package
        for package in offered
        if re.search(rf"\b{re.escape(package.rpartition('/')[2])}\.", code)
        or (package == "testing" and "*testing.T" in code)
    ]
    imports = "".join(f'    "{package}"\n' for package in used)
    return "package main\n\n" + (f"import (\n{imports})\n" if used else "") + source


def mbpp_task(row: Row) -> Task:
    setup = [row.text_or("test_setup_code")]
    if row.has("test_imports"):
        setup = [*row.strings("test_imports"), *setup]
    cases = row.strings("test_list")
    code = "\n".join(part for part in setup if part)
    entry_point = _tested_function(row.text_or("code"), cases)
    with validated(row, "test_list"):
        tests = Assertions(
            code=code + "\n" if code else "", cases=tuple(cases), entry_point=entry_point
        )
    return Task(row.name("task_id"), tests, entry_point=entry_point)


def mbpp_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    yield from chosen_field(row, code_field or "code")


def _tested_function(code: str, cases: list[str]) -> str | None:
    """The last function of the reference that the first test names, if there is one."""
    defined = re.findall(r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", code, re.MULTILINE)
    words = set(re.findall(r"\w+", cases[0])) if cases else set()
    return next((name for name in reversed(defined) if name in words), None)


def bigcodebench_task(row: Row) -> Task:
    """Its programs load numpy, pandas or matplotlib: the default limits are wider."""
    entry_point = identifier(row, "entry_point")
    stub = row.text_or("code_prompt")
    return Task(
        row.name("task_id"),
        Unittest(code=row.text("test")),
        limits=Limits(wall_s=60.0, memory_bytes=2 << 30),
        prompt=row.text("complete_prompt"),
        entry_point=entry_point,
        header=f"{stub}\n    pass\n" if stub else "",
    )


def bigcodebench_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    for program in chosen_field(row, code_field or "canonical_solution"):
        yield _placed(task, program)
