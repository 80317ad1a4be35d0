"""What reads data without an agent: plain data, the readers, the journal."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import logging
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzzing import Check, Target
from hypothesis import strategies as st
from mutations import JSON, damaged, mutated
from small_rows import ROWS, SAMPLES

from hpc_runner.corpus.readers import Sample, open_corpus
from hpc_runner.errors import CorpusError, RowError
from hpc_runner.model import canonical_json
from hpc_runner.results.journal import check_row, decode_lines, encode_line, rows_to_table
from hpc_runner.results.schema import RESULTS
from hpc_runner.sandbox.agent import Channel, Opaque, pack, unpack

# ------------------------------------------------------------------------- plain data

_KEYS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()
    ),
    lambda inner: st.one_of(
        st.tuples(inner), st.tuples(inner, inner), st.frozensets(inner, max_size=3)
    ),
    max_leaves=4,
)
_PLAIN = st.recursive(
    st.one_of(
        _KEYS,
        st.floats(),
        st.complex_numbers(),
        st.binary().map(bytearray),
        st.integers(4000, 6000).map(lambda digits: 10**digits),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(_KEYS, inner, max_size=4),
        st.sets(_KEYS, max_size=4),
    ),
    max_leaves=12,
)


def form(value: Any) -> Any:
    """Type and content, so that 1, 1.0 and True differ and NaN equals itself."""
    if isinstance(value, list | tuple):
        return type(value), [form(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(form, value)))
    if isinstance(value, dict):
        return dict, [(form(key), form(item)) for key, item in value.items()]
    return type(value), value if isinstance(value, int) else repr(value)


@contextlib.contextmanager
def _round_trip() -> Iterator[Check]:
    one, other = socket.socketpair()
    sender, receiver = Channel(one.detach()), Channel(other.detach())

    def check(value: Any) -> None:
        sender.send(pack(value))
        assert form(unpack(receiver.receive())) == form(value)

    yield check
    sender._socket.close()
    receiver._socket.close()


_TAGS = st.sampled_from(
    [
        "dict",
        "set",
        "frozenset",
        "tuple",
        "bytes",
        "bytearray",
        "complex",
        "opaque",
        "type",
        "iterator",
        "Decimal",
        "Fraction",
        "range",
        "deque",
        "date",
        "datetime",
        "timedelta",
    ]
)
_PACKED = st.recursive(
    JSON,
    lambda inner: st.fixed_dictionaries(
        {"t": st.one_of(_TAGS, _TAGS, inner), "v": st.one_of(inner, st.lists(inner, max_size=3))}
    ),
    max_leaves=6,
)
_HOMES = ("builtins", "collections", "datetime", "decimal", "fractions", Opaque.__module__)


def parts(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from parts(item)


@contextlib.contextmanager
def _unpacking() -> Iterator[Check]:
    def check(data: Any) -> None:
        try:
            value = unpack(data)
        except ValueError:
            return
        for part in parts(value):
            assert type(part).__module__ in _HOMES, type(part)

    yield check


# ------------------------------------------------------------------------- the readers


def read(path: Path, **options: Any) -> None:
    """Reads all of a corpus; nothing but a ``CorpusError`` may be raised."""
    try:
        for item in open_corpus([path], **options):
            assert isinstance(item, Sample | RowError)
            if isinstance(item, Sample):
                candidate = item.candidate
                assert len(candidate.candidate_id) == 32
                canonical_json(candidate.tests.model_dump(mode="json"))
                candidate.code.encode("utf-8")
            else:
                str(item).encode("utf-8", "backslashreplace")
    except CorpusError:
        return


@contextlib.contextmanager
def _rows() -> Iterator[Check]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.jsonl"

        def check(example: tuple[tuple[str, Any], bool]) -> None:
            (name, row), told = example
            lines = [json.dumps(row), json.dumps(ROWS[name])]
            path.write_text("\n".join(lines), encoding="ascii")
            read(path, format=name if told else "auto")

        yield check


_MUTATED_ROWS = st.sampled_from(sorted(ROWS)).flatmap(
    lambda name: st.tuples(st.just(name), mutated([ROWS[name]], 3))
)


@contextlib.contextmanager
def _samples() -> Iterator[Check]:
    with tempfile.TemporaryDirectory() as folder:
        problems, samples = Path(folder) / "problems.jsonl", Path(folder) / "samples.jsonl"
        problems.write_text(json.dumps(ROWS["humaneval"]))

        def check(row: Any) -> None:
            samples.write_text(json.dumps(row))
            with contextlib.suppress(CorpusError):
                for item in open_corpus([problems, samples]):
                    assert isinstance(item, Sample | RowError)

        yield check


def _jsonl() -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in list(ROWS.values())[:4])


def _parquet() -> list[bytes]:
    made = []
    for name in ("native", "humaneval", "mbpp", "code_contests"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([ROWS[name]] * 20), sink)
        made.append(sink.getvalue().to_pybytes())
    return made


def _files() -> dict[str, list[bytes]]:
    plain = _jsonl()
    array = json.dumps(list(ROWS.values())[:4]).encode()
    zstd = pa.compress(plain, codec="zstd", asbytes=True)
    return {
        "corpus.jsonl": [plain],
        "corpus.json": [array],
        "corpus.jsonl.gz": [gzip.compress(plain, mtime=0), gzip.compress(array, mtime=0)],
        "corpus.jsonl.zst": [zstd],
        "corpus.parquet": _parquet(),
    }


_DAMAGED_FILES = st.one_of(
    [st.tuples(st.just(name), damaged(contents)) for name, contents in _files().items()]
)


@contextlib.contextmanager
def _damaged_files() -> Iterator[Check]:
    with tempfile.TemporaryDirectory() as folder:

        def check(example: tuple[str, bytes]) -> None:
            name, content = example
            path = Path(folder) / name
            path.write_bytes(content)
            read(path)

        yield check


# ------------------------------------------------------------------------- the journal


def _result_row() -> dict[str, Any]:
    values: dict[type, Any] = {str: "x", int: 1, float: 0.5}
    row: dict[str, Any] = {}
    for field in RESULTS:
        kind = field.type
        if pa.types.is_fixed_size_binary(kind):
            row[field.name] = hashlib.sha256(field.name.encode()).digest()
        elif pa.types.is_integer(kind):
            row[field.name] = values[int]
        elif pa.types.is_floating(kind):
            row[field.name] = values[float]
        elif pa.types.is_list(kind):
            row[field.name] = []
        elif pa.types.is_timestamp(kind):
            row[field.name] = datetime(2026, 1, 2, tzinfo=UTC)
        else:
            row[field.name] = values[str]
    row["tests"] = [{"name": "0", "outcome": "accepted", "wall_s": 0.1, "message": "é"}]
    return row


_LINE = encode_line(_result_row())
_JOURNALS = st.one_of(
    damaged([_LINE * 2]),
    mutated([json.loads(_LINE)], 2).map(lambda row: json.dumps(row).encode() + b"\n" + _LINE),
)


@contextlib.contextmanager
def _journals() -> Iterator[Check]:
    log = logging.getLogger("hpc_runner.results.journal")
    before, log.disabled = log.disabled, True
    try:

        def check(content: bytes) -> None:
            rows = decode_lines(content + _LINE, Path("journal"))
            for row in rows:
                check_row(row)
            # What follows the damage is still there, unless its own line was cut into.
            assert rows_to_table(rows).num_rows == len(rows)
            if content.endswith(b"\n"):
                assert rows[-1] == _result_row()

        yield check
    finally:
        log.disabled = before


TARGETS = [
    Target("plain data", _PLAIN, _round_trip, 200),
    Target("plain data, forged", _PACKED, _unpacking, 300),
    Target("rows of every format", st.tuples(_MUTATED_ROWS, st.booleans()), _rows, 150),
    Target("rows of samples", mutated(SAMPLES, 2), _samples, 150),
    Target("damaged files", _DAMAGED_FILES, _damaged_files, 200),
    Target("journal", _JOURNALS, _journals, 150),
]
