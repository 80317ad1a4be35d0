"""Result rows as Arrow tables and as lines of a journal."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from hpc_runner.results.schema import RESULTS

__all__ = ["ResultRow", "check_row", "decode_lines", "encode_line", "rows_to_table"]

ResultRow = dict[str, Any]
"""Keys and Python types of ``schema.RESULTS``: bytes for ids and digests, an aware
datetime for ``started_at``, a list of dicts for ``tests``."""

_log = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _python_type(type_: pa.DataType) -> type | tuple[type, ...]:
    if (
        pa.types.is_dictionary(type_)
        or pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
    ):
        return str
    if pa.types.is_integer(type_):
        return int
    if pa.types.is_floating(type_):
        return (float, int)
    if pa.types.is_fixed_size_binary(type_):
        return bytes
    return list if pa.types.is_list(type_) else datetime


_NAMES = frozenset(RESULTS.names)
_TYPES = [
    (field.name, (*(t if isinstance(t := _python_type(field.type), tuple) else (t,)),)
     + ((type(None),) if field.nullable else ()))
    for field in RESULTS
]  # fmt: skip
_BINARY = tuple(field.name for field in RESULTS if pa.types.is_fixed_size_binary(field.type))
_INTEGERS = tuple(
    (field.name, 1 << (field.type.bit_width - 1))
    for field in RESULTS
    if pa.types.is_integer(field.type)
)
_DIGEST_BYTES = 32
_EXACT = 1 << 53
_TEST_TYPES = {"name": (str,), "outcome": (str,), "wall_s": (float,), "message": (str,)}


def check_row(row: ResultRow) -> None:
    """Raises ``ValueError`` or ``TypeError`` naming the column that ``schema.RESULTS`` refuses."""
    if row.keys() != _NAMES:
        missing, unknown = sorted(_NAMES - row.keys()), sorted(row.keys() - _NAMES)
        raise ValueError(f"a result row has every column: missing {missing}, unknown {unknown}")
    for name, types in _TYPES:
        if not isinstance(row[name], types) or isinstance(row[name], bool):
            expected = " or ".join(type_.__name__ for type_ in types)
            raise TypeError(f"result column {name!r}: expected {expected}, found {row[name]!r:.80}")
        if float in types and isinstance(row[name], int) and abs(row[name]) > _EXACT:
            raise ValueError(f"result column {name!r}: {row[name]!r:.80} is out of range")
    for name in _BINARY:
        if row[name] is not None and len(row[name]) != _DIGEST_BYTES:
            raise ValueError(f"result column {name!r}: expected 32 bytes, found {len(row[name])}")
    for name, end in _INTEGERS:
        if row[name] is not None and not -end <= row[name] < end:
            raise ValueError(f"result column {name!r}: {row[name]!r:.80} is out of range")
    for test in row["tests"]:
        if not isinstance(test, dict) or test.keys() != _TEST_TYPES.keys():
            raise TypeError(f"result column 'tests': found {test!r:.80}")
        if not all(isinstance(test[name], types) for name, types in _TEST_TYPES.items()):
            raise TypeError(f"result column 'tests': found {test!r:.80}")
    if not all(isinstance(sign, str) for sign in row["suspicion"]):
        raise TypeError(f"result column 'suspicion': found {row['suspicion']!r:.80}")


def _plain(value: object) -> str | int:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    raise TypeError(f"a result row can't hold {type(value).__name__}")


_encode = json.JSONEncoder(default=_plain, separators=(",", ":"), check_circular=False).encode


def encode_line(row: ResultRow) -> bytes:
    """One line of ASCII; its line end is the sign that it is complete."""
    return (_encode(row) + "\n").encode("ascii")


def decode_lines(content: bytes, path: Path) -> list[ResultRow]:
    """The rows of a journal.  An unfinished last line was never acknowledged and is left out;
    any other line that can't be understood is left out with a warning that names ``path``."""
    *lines, _torn = content.split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            for name in _BINARY:
                if row[name] is not None:
                    row[name] = bytes.fromhex(row[name])
            row["started_at"] = _EPOCH + row["started_at"] * _MICROSECOND
            check_row(row)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            _log.warning("%s, line %d: left out, its execution runs again: %s", path, number, error)
        else:
            rows.append(row)
    return rows


def rows_to_table(rows: Iterable[ResultRow]) -> pa.Table:
    """The rows with ``schema.RESULTS``.  Lone surrogates, which UTF-8 can't hold, become ``?``."""
    rows = list(rows)
    try:
        return pa.Table.from_pylist(rows, schema=RESULTS)
    except UnicodeEncodeError:
        return pa.Table.from_pylist([_clean(row) for row in rows], schema=RESULTS)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
