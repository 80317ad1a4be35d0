"""Files that are either whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError

__all__ = [
    "atomic_file",
    "discard",
    "sync_directory",
    "table_writer",
    "temporary_files",
    "write_json",
    "write_table",
]


@contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write; ``path`` has the whole of it when the block ends, or is as it was.

    The temporary file stands in the same directory, which must exist.  With
    ``durable`` the file and its directory are flushed to the disk, so that the
    name is never there without the content, whatever dies.  A process killed in
    the block leaves the temporary file (see ``temporary_files``).

    Raises ``StorageError`` when the disk or Arrow refuses.
    """
    name = f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    temporary = path.with_name(name)
    try:
        with temporary.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_directory(path.parent)
    except (OSError, pa.ArrowException) as error:
        discard(temporary)
        raise StorageError(f"{path}: can't be written: {error}") from error
    except BaseException:
        discard(temporary)
        raise


def temporary_files(path: Path) -> Iterator[Path]:
    """What killed processes left of their attempts to write ``path``."""
    prefix = f".{path.name}."
    for found in path.parent.iterdir():
        if found.name.startswith(prefix) and found.name.endswith(".tmp"):
            yield found


@contextmanager
def table_writer(
    path: Path,
    schema: pa.Schema,
    *,
    durable: bool = True,
    statistics: bool = True,
    unlike: Collection[str] = (),
) -> Iterator[Callable[[pa.Table], None]]:
    """Write a Parquet file (zstd, page checksums) piece by piece, whole or not at all.

    The function that the block gets appends one table as one row group; the
    table is cast to ``schema``.  ``unlike``: columns whose values hardly ever repeat, which
    are written faster for being known.  Raises ``StorageError``.
    """
    with (
        atomic_file(path, durable=durable) as file,
        row_groups(file, schema, statistics=statistics, unlike=unlike) as write,
    ):
        yield write


@contextmanager
def row_groups(
    file: BinaryIO, schema: pa.Schema, *, statistics: bool = True, unlike: Collection[str] = ()
) -> Iterator[Callable[[pa.Table], None]]:
    """The same for a file that is open; errors are the disk's and Arrow's own."""
    repeating: Any = [name for name in schema.names if name not in unlike]
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        write_page_checksum=True,
        write_statistics=statistics,
        use_dictionary=repeating if unlike else True,
    ) as writer:

        def write(table: pa.Table) -> None:
            writer.write_table(table.cast(schema), row_group_size=max(1, table.num_rows))

        yield write


def write_table(path: Path, table: pa.Table, *, parents: bool = True) -> None:
    """Write ``table``, with its own schema, as ``path``: whole or not at all.

    Rows go into row groups of up to 100,000.  With ``parents`` missing
    directories are made.  Raises ``StorageError``, naming ``path``.
    """
    if parents:
        _make_directory(path.parent)
    with table_writer(path, table.schema) as write:
        for offset in range(0, table.num_rows, 100_000):
            write(table.slice(offset, 100_000))


def write_json(
    path: Path, content: Mapping[str, Any], *, durable: bool = True, indent: int | None = 2
) -> None:
    """Write an object as JSON, indented for people, whole or not at all; makes missing directories.

    Raises ``StorageError`` when the disk refuses.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    _make_directory(path.parent)
    with atomic_file(path, durable=durable) as file:
        file.write((text + "\n").encode("utf-8", "backslashreplace"))


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: the directory can't be made: {error}") from error


def discard(path: Path) -> None:
    """Remove a file that was given up on; the error that led here says more than a second one."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk; where a file system has no such thing, nothing."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that have no such thing
            raise
    finally:
        os.close(handle)
