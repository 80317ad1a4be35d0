"""What is known of a shard: rows that survive the process that wrote them.

A worker appends each row to a journal (one ``write``, no fsync: it survives
``kill -9`` of the worker), from time to time turns the journal into a part
(Parquet, fsynced: it survives the node), and at the end turns all parts and
journals of the shard into ``results/SSSSS.parquet``, whose existence says that
the shard is finished (or that of a compacted file that holds it: compact.py).

    parts/SSSSS/<writer>.journal        JSON lines that are in no part yet
    parts/SSSSS/<writer>-NNNN.parquet   committed parts
    parts/SSSSS/*.damaged               parts that could not be read, set aside

Rows are keyed by (candidate_id, environment, round).  Slurm may run two copies
of a shard at a time: each has a writer name of its own, and the one that ends
first writes the result.  Where a key has several rows, a judged one goes before
``internal_error``; among judged ones the first by writer, then in order of
writing; among internal errors the one with most attempts.

This module is also where the writing functions of ``results`` are imported from.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.model import Verdict
from hpc_runner.results.candidates import CandidateWriter, read_shard, shard_count
from hpc_runner.results.files import temporary_files, write_json, write_table
from hpc_runner.results.heartbeat import read_heartbeats, write_heartbeat
from hpc_runner.results.journal import (
    ResultRow,
    check_row,
    decode_lines,
    encode_line,
    rows_to_table,
)
from hpc_runner.results.schema import RESULTS
from hpc_runner.rundir import RunDir

__all__ = [
    "CandidateWriter",
    "Key",
    "Known",
    "ResultRow",
    "ShardStore",
    "read_heartbeats",
    "read_shard",
    "result_verdicts",
    "shard_count",
    "with_verdicts",
    "write_heartbeat",
    "write_json",
    "write_table",
]

Key = tuple[bytes, str, int]
"""candidate_id, environment, round: one execution."""

_log = logging.getLogger(__name__)
_WRITER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_PART = re.compile(r"(?P<writer>.+)-(?P<number>\d{4,})\.parquet")
_JOURNAL_BYTES = 64 << 20
_JOURNAL = 1 << 62  # orders a writer's journal after its parts
_VERDICTS = b"hpc_runner.verdicts"  # metadata of a result: verdict → executions, as JSON
_INTERNAL_ERROR = Verdict.INTERNAL_ERROR.value


class Known(NamedTuple):
    """What is known of one execution."""

    key: Key
    verdict: Verdict
    attempt: int


class ShardStore:
    """The rows of one shard; survives ``kill -9`` at any moment.

    ``writer`` names this process and must be unique among the processes that
    have ever worked on the shard at the same time (letters, digits, ``._-``).
    A part is committed when ``part_rows`` rows or ``part_s`` seconds have come
    together; the time is looked at when a row is appended.  Nothing is created
    before the first row.  Not safe for use by several threads.
    """

    def __init__(
        self,
        run: RunDir,
        wave: int,
        shard: int,
        *,
        writer: str,
        part_rows: int = 2000,
        part_s: float = 10.0,
    ) -> None:
        if not _WRITER.fullmatch(writer):
            raise ValueError(f"a writer's name is letters, digits, '.', '_', '-': found {writer!r}")
        self._is_finished = functools.partial(run.is_finished, wave, shard)
        self._result = run.result(wave, shard)
        self._directory = run.parts(wave, shard)
        self._journal_path = self._directory / f"{writer}.journal"
        self._writer = writer
        self._part_rows = part_rows
        self._part_s = part_s
        self._journal: int | None = None
        self._journal_bytes = 0
        self._next_part = 0
        self._pending: list[ResultRow] = []
        self._pending_since = 0.0
        self._known: set[Key] = set()
        self._over = False

    def __enter__(self) -> ShardStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def finished(self) -> bool:
        """The shard's result is there, whoever wrote it; rows appended now go nowhere."""
        return self._is_finished()

    def recovered(self) -> Iterator[Known]:
        """What all writers have left of an unfinished shard, each key once, sorted by key.

        Parts that can't be read are renamed to ``*.damaged`` with a warning;
        their executions are not among the known.  Raises ``StorageError``.
        """
        table = self._union()
        self._known.update(_keys(table))
        columns: list[list[Any]] = [table[name].to_pylist() for name in ("verdict", "attempt")]
        for key, verdict, attempt in zip(_keys(table), *columns, strict=True):
            yield Known(key, Verdict(verdict), attempt)

    def append(self, row: ResultRow) -> None:
        """Keep ``row``: when this returns, no death of this process loses it.

        The row must not be changed afterwards.  Does nothing once the shard is
        finished.  Raises ``ValueError`` or ``TypeError`` for a row that the
        schema refuses, ``StorageError`` when the disk does (the row is then
        not kept, the earlier ones are).
        """
        check_row(row)
        if self._over or (self._journal is None and not self._open()):
            return
        self._write(encode_line(row))
        self._known.add((row["candidate_id"], row["environment"], row["round"]))
        now = time.monotonic()
        if not self._pending:
            self._pending_since = now
        self._pending.append(row)
        if (
            len(self._pending) >= self._part_rows
            or now - self._pending_since >= self._part_s
            or self._journal_bytes >= _JOURNAL_BYTES
        ):
            self.commit()

    def commit(self) -> None:
        """Turn the journal into a part, which survives the node.  Raises ``StorageError``."""
        if self._over or self._journal is None or not self._pending:
            return
        part = self._directory / f"{self._writer}-{self._next_part:04d}.parquet"
        try:
            write_table(part, rows_to_table(self._pending), parents=False)
        except StorageError:
            if self.finished:  # another writer ended the shard and took the directory away
                self._abandon()
                return
            raise
        self._next_part += 1
        self._truncate(0)
        self._pending = []

    def finish(self) -> Path:
        """Write the shard's result from the rows of all writers, and drop parts and journals.

        The result is sorted by key.  If it is there already it is left as it
        is.  Raises ``StorageError``; also when a row that was recovered or
        appended can't be found any more, in which case the shard is resumed.
        """
        if not self.finished:
            table = self._union()
            lost = self._known.difference(_keys(table))
            if not self.finished:
                if lost:
                    raise StorageError(
                        f"{self._directory}: {len(lost)} rows that were kept are gone (a file was"
                        " damaged or removed); resume the run, and they are executed again"
                    )
                self._write_result(table)
        self._abandon()
        for leftover in list(temporary_files(self._result)):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)
        return self._result

    def close(self) -> None:
        """Let go of the journal; what is in it stays for the next worker."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None
            self._pending = []

    def _abandon(self) -> None:
        self.close()
        self._over = True

    def _write_result(self, table: pa.Table) -> None:
        try:
            write_table(self._result, with_verdicts(table))
        except StorageError:
            if not self.finished:  # another writer was first and cleared our temporary file
                raise

    def _open(self) -> bool:
        """Open the journal and take over what a predecessor of the same name left in it."""
        if self.finished:
            self._over = True
            return False
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._journal = os.open(self._journal_path, flags, 0o644)
            content = self._journal_path.read_bytes()
        except OSError as error:
            raise StorageError(f"{self._journal_path}: can't be opened: {error}") from error
        self._pending = decode_lines(content, self._journal_path)
        self._pending_since = time.monotonic()
        self._truncate(content.rfind(b"\n") + 1)
        parts = (_PART.fullmatch(path.name.removesuffix(".damaged")) for path in self._files())
        numbers = [int(part["number"]) for part in parts if part and part["writer"] == self._writer]
        self._next_part = max(numbers, default=-1) + 1
        if self.finished:  # another writer ended the shard while the directory was made
            self._abandon()
            shutil.rmtree(self._directory, ignore_errors=True)
        return not self._over

    def _write(self, line: bytes) -> None:
        assert self._journal is not None
        try:
            written = os.write(self._journal, line)
        except OSError as error:
            raise StorageError(f"{self._journal_path}: can't be written: {error}") from error
        if written != len(line):
            self._truncate(self._journal_bytes)
            raise StorageError(
                f"{self._journal_path}: {written} of {len(line)} bytes written; is the disk full?"
            )
        self._journal_bytes += written

    def _truncate(self, size: int) -> None:
        assert self._journal is not None
        try:
            os.ftruncate(self._journal, size)
        except OSError as error:
            raise StorageError(f"{self._journal_path}: can't be shortened: {error}") from error
        self._journal_bytes = size

    def _files(self) -> list[Path]:
        try:
            return sorted(self._directory.iterdir())
        except FileNotFoundError:
            return []

    def _union(self) -> pa.Table:
        """The rows of all writers, each key once, sorted by key."""
        found: list[tuple[tuple[str, int], pa.Table]] = []
        # Journals before parts: rows only ever move from a journal to a part, so that a
        # writer that commits meanwhile is read twice rather than not at all.
        for path in self._files():
            if path.suffix == ".journal":
                rows = decode_lines(_read(path), path)
                if rows:
                    found.append(((path.stem, _JOURNAL), rows_to_table(rows)))
        for path in self._files():
            part = _PART.fullmatch(path.name)
            table = self._part(path) if part else None
            if part and table is not None:
                found.append(((part["writer"], int(part["number"])), table))
        if not found:
            return RESULTS.empty_table()
        found.sort(key=lambda item: item[0])
        table = pa.concat_tables([table for _, table in found]).unify_dictionaries()
        return table.take(pa.array(_chosen(table), pa.int64()))

    def _part(self, path: Path) -> pa.Table | None:
        content = _read(path)
        if not content and not path.exists():
            return None  # the shard was finished meanwhile by another writer
        try:
            file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
            table = file.read()
        except (pa.ArrowException, OSError, ValueError) as error:
            _log.warning("%s: set aside, its executions run again: %s", path, error)
            path.replace(path.with_name(path.name + ".damaged"))
            return None
        if not table.schema.equals(RESULTS):
            raise StorageError(
                f"{path}: was written by another version of hpc_runner; resume the run with"
                " the version that began it"
            )
        return table


def with_verdicts(table: pa.Table) -> pa.Table:
    """A shard's rows with what ``result_verdicts`` looks for, to be written as its result."""
    found = _count(table["verdict"])
    metadata = {**(table.schema.metadata or {}), _VERDICTS: json.dumps(found).encode()}
    return table.replace_schema_metadata(metadata)


def result_verdicts(path: Path) -> Counter[str]:
    """How often each verdict occurs in a file of results: of a shard's metadata, so that many
    can be counted; a compacted file's rows are.  Raises ``StorageError``."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        if _VERDICTS in metadata:
            return Counter(json.loads(metadata[_VERDICTS]))
        column = pq.read_table(path, columns=["verdict"])["verdict"]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: can't be read: {error}. Remove it and resume the run: its shard runs again"
        ) from error
    return _count(column)


def _count(verdicts: Any) -> Counter[str]:
    """Of a column."""
    counted: list[dict[str, Any]] = verdicts.cast(pa.string()).value_counts().to_pylist()
    return Counter({row["values"]: row["counts"] for row in counted})


def _read(path: Path) -> bytes:
    """The content; empty when the file is gone, because another writer finished the shard."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error}") from error


def _keys(table: pa.Table) -> list[Key]:
    columns = (table[name].to_pylist() for name in ("candidate_id", "environment", "round"))
    return list(zip(*columns, strict=True))


def _chosen(table: pa.Table) -> list[int]:
    """The rows that count, in the order of their keys; ``table`` is ordered by writer."""
    best: dict[Key, tuple[tuple[int, int], int]] = {}
    verdicts: list[Any] = table["verdict"].to_pylist()
    attempts: list[Any] = table["attempt"].to_pylist()
    for index, key in enumerate(_keys(table)):
        rank = (1, -attempts[index]) if verdicts[index] == _INTERNAL_ERROR else (0, 0)
        if key not in best or rank < best[key][0]:
            best[key] = (rank, index)
    return [best[key][1] for key in sorted(best)]
