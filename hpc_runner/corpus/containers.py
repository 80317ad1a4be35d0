"""The files of a corpus as rows, one at a time.

Memory is bounded by the largest row: a line of at most ``MAX_ROW_BYTES``, or a
batch of ``BATCH_ROWS`` rows and one column page of Parquet.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from hpc_runner.errors import CorpusError, RowError

MAX_ROW_BYTES = 512 << 20
"""A longer line is a bad row; it is skipped without being held in memory."""
BATCH_ROWS = 16

_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".json.zst", ".parquet")
EXPECTED = (
    "a .jsonl, .jsonl.gz, .jsonl.zst, .json or .parquet file, a directory of such files,"
    " or a folder of source files"
)

RawRow = tuple[int, dict[str, Any]]


def suffix_of(path: Path) -> str | None:
    """The container that a file's name says it is, or None."""
    name = path.name.lower()
    if name.endswith(".ndjson"):
        return ".jsonl"
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)


def data_files(path: Path) -> list[Path]:
    """The files of rows that ``path`` stands for, sorted; empty for a folder of source files.

    A directory that holds Parquet files is those; if there are none, its JSON
    lines files are.  Hidden files and those that start with ``_`` don't count.
    """
    if not path.exists():
        raise CorpusError(f"{path}: there is no such file or directory; expected {EXPECTED}")
    if path.is_file():
        if suffix_of(path) is None:
            raise CorpusError(f"{path}: unknown kind of file {path.suffix!r}; expected {EXPECTED}")
        return [path]
    for wanted in (".parquet", ".jsonl"):
        found = [
            file
            for file in sorted(path.rglob("*"))
            if (suffix_of(file) or "").startswith(wanted)
            and file.is_file()
            and not file.name.startswith((".", "_"))
        ]
        if found:
            return found
    return []


def raw_rows(path: Path) -> Iterator[RawRow | RowError]:
    """The rows of one file with their numbers, bad ones as ``RowError``.

    Raises ``CorpusError`` when the file can't be opened, or ends damaged.
    """
    suffix = suffix_of(path)
    with readable(path):
        if suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        with open_bytes(path) as stream:
            if (suffix or "").startswith(".jsonl") or not _starts_array(stream):
                yield from _line_rows(path, stream)
            else:
                # The wrapper closes the stream as well, whichever of the two goes first.
                with io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape") as text:
                    yield from _array_rows(path, text)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what reading ``path`` raises into ``CorpusError``."""
    import pyarrow as pa

    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException) as error:
        raise CorpusError(
            f"{path}: can't be read as {suffix_of(path) or 'a file'}: {error}"
        ) from error


def open_bytes(path: Path) -> BinaryIO:
    """The decompressed bytes of ``path``, buffered."""
    if path.name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.name.endswith(".zst"):
        import pyarrow as pa

        raw = pa.input_stream(str(path), compression="zstd")
        return cast(BinaryIO, io.BufferedReader(raw, 1 << 20))
    return path.open("rb", buffering=1 << 20)


def _line_rows(path: Path, stream: BinaryIO) -> Iterator[RawRow | RowError]:
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        if len(line) > MAX_ROW_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(1 << 20)
            reason = f"the line is longer than {MAX_ROW_BYTES} bytes"
            yield RowError(str(path), number, "", reason)
            number += 1
            continue
        if not line.strip():
            continue
        yield _parse(path, number, line)
        number += 1


def _parse(path: Path, number: int, line: bytes) -> RawRow | RowError:
    # Bytes that are not UTF-8 survive as surrogates, so that the field they are in can be named.
    text = line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")
    try:
        value = json.loads(text)
    except RecursionError:
        return RowError(str(path), number, "", "JSON that is nested too deeply")
    except ValueError as error:
        return RowError(str(path), number, "", f"not JSON: {error}")
    return _object(path, number, value)


def _object(path: Path, number: int, value: Any) -> RawRow | RowError:
    if isinstance(value, dict):
        return number, value
    found = type(value).__name__
    return RowError(str(path), number, "", f"expected a JSON object, found {found}")


def _starts_array(stream: BinaryIO) -> bool:
    head = cast(io.BufferedReader, stream).peek(4096)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _array_rows(path: Path, reader: io.TextIOWrapper) -> Iterator[RawRow | RowError]:
    """The elements of one JSON array, held one at a time."""
    decoder = json.JSONDecoder()
    text = reader.read(1 << 16).lstrip()[1:]
    size, number = 1 << 16, 0
    while True:
        text = text.lstrip(" \t\r\n,")
        if text.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(text)
            # A number or word at the very end may go on in the next chunk.
            if end == len(text) and not isinstance(value, dict | list | str):
                raise ValueError("more may follow")
        except (ValueError, RecursionError) as error:
            more = reader.read(size)
            if not more or len(text) > MAX_ROW_BYTES:
                raise CorpusError(
                    f"{path}: the JSON array is broken at row {number}: {error}"
                ) from error
            text, size = text + more, max(1 << 16, len(text))
            continue
        yield _object(path, number, value)
        text, number = text[end:], number + 1


def _parquet_rows(path: Path) -> Iterator[RawRow | RowError]:
    import pyarrow.parquet as pq

    number = 0
    with pq.ParquetFile(str(path)) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            try:
                rows: list[RawRow | RowError] = list(enumerate(batch.to_pylist(), number))
            except UnicodeDecodeError:
                rows = [_parquet_row(path, batch, i, number + i) for i in range(batch.num_rows)]
            yield from rows
            number += batch.num_rows


def _parquet_row(path: Path, batch: Any, i: int, number: int) -> RawRow | RowError:
    fields: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            fields[name] = column[i].as_py()
        except UnicodeDecodeError as error:
            return RowError(str(path), number, name, f"bytes that are not UTF-8: {error.reason}")
    return number, fields
