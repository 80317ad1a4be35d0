"""LiveCodeBench: problems without programs, whose private tests may be packed.

Packed means base64 of zlib of a pickle.  A pickle is a program, so it is never
run: ``packed_text`` walks its opcodes and knows just those that make one
string, with the decompressed size bounded.
"""

from __future__ import annotations

import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Iterator
from typing import Any

from hpc_runner.corpus.formats_contests import calls
from hpc_runner.corpus.formats_functions import identifier
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import CONTEST_HEADER, Program, Task, chosen_field, stdio
from hpc_runner.model import Tests

MAX_UNPACKED_BYTES = 512 << 20

_FRAMING = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}
_TEXT = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}


def packed_text(packed: str) -> str:
    """The string in a packed value; raises ``ValueError`` for anything else."""
    try:
        compressed = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error
    unpacker = zlib.decompressobj()
    try:
        pickled = unpacker.decompress(compressed, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise ValueError(f"not zlib: {error}") from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {MAX_UNPACKED_BYTES} bytes when unpacked")
    if not unpacker.eof:
        raise ValueError("not zlib: it ends too early")
    value: str | None = None
    # genops only reads the opcodes and their arguments: nothing is looked up, built or called.
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _FRAMING:
            continue
        if opcode.name == "STOP":
            break
        if value is not None or opcode.name not in _TEXT | _BYTES:
            raise ValueError(f"a pickle of more than one string: opcode {opcode.name} is refused")
        value = argument.decode("utf-8") if isinstance(argument, bytes) else str(argument)
    if value is None:
        raise ValueError("a pickle without a string")
    return value


def livecodebench_task(row: Row) -> Task:
    """Stdin tests, or calls of ``metadata.func_name`` with a JSON value per line."""
    cases = _cases(row, "public_test_cases", row.data("public_test_cases"))
    cases += _cases(row, "private_test_cases", _private(row))
    if not cases:
        raise row.bad("public_test_cases", "there are no tests")
    kinds = {str(case.get("testtype"))[:60] for _, case in cases}
    if len(kinds) != 1 or not kinds <= {"stdin", "functional"}:
        found = ", ".join(sorted(kinds))
        raise row.bad("public_test_cases", f"testtype: expected stdin or functional, found {found}")
    texts = [
        (
            row.check_text(f"{key}.input", case.get("input")),
            row.check_text(f"{key}.output", case.get("output")),
        )
        for key, case in cases
    ]
    task_id = row.name("question_id")
    tests: Tests
    if kinds == {"stdin"}:
        tests = stdio(row, "public_test_cases", texts, 0.0)
        return Task(task_id, tests, header=CONTEST_HEADER)
    metadata = row.check("metadata", row.data("metadata"), dict)
    inner = Row(row.file, row.number, row.index, {"metadata.func_name": metadata.get("func_name")})
    entry_point = identifier(inner, "metadata.func_name")
    inputs, outputs = [], []
    for (key, _), (given, wanted) in zip(cases, texts, strict=True):
        inputs.append([row.decode(f"{key}.input", line) for line in given.split("\n")])
        outputs.append(row.decode(f"{key}.output", wanted))
    # Its outputs are never wrapped in a list.
    hint = f"def {entry_point}() -> List"
    tests = calls(row, "public_test_cases", entry_point, inputs, outputs, hint)
    return Task(task_id, tests, entry_point=entry_point, header=CONTEST_HEADER)


def livecodebench_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    if not code_field and not row.has("code_list"):
        raise row.bad("code_list", "LiveCodeBench's problems hold no code: give samples as well")
    yield from chosen_field(row, code_field or "code_list")


def _private(row: Row) -> Any:
    key = "private_test_cases"
    value = row.fields.get(key)
    if value is None or value == "":
        return []
    if not isinstance(value, str):
        return row.data(key)
    try:
        json.loads(value)
    except RecursionError as error:
        raise row.bad(key, "JSON that is nested too deeply") from error
    except ValueError:
        try:
            value = packed_text(value)
        except ValueError as error:
            raise row.bad(key, f"neither JSON nor packed JSON: {error}") from error
    return row.decode(key, value)


def _cases(row: Row, key: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    listed = row.check(key, value, list)
    return [(f"{key}[{i}]", row.check(f"{key}[{i}]", case, dict)) for i, case in enumerate(listed)]
