"""``candidates.parquet`` of a wave: a row group is a shard."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.model import Candidate, Limits, tests_adapter
from hpc_runner.results.files import table_writer
from hpc_runner.results.schema import CANDIDATES

__all__ = ["CandidateWriter", "Checked", "read_checked", "read_shard", "shard_count", "shard_sizes"]

Row = tuple[bytes, int, Candidate]
"""candidate_id, row (position of its first sample in the corpus), candidate."""


@dataclass(frozen=True)
class Checked:
    """What the policy had to say of a candidate."""

    findings: tuple[str, ...] = ()
    refused: str | None = None
    """The one of them that keeps it from being run."""


_NOTHING = Checked()


class CandidateWriter:
    """Write the candidates of a wave, shard by shard, holding one shard in memory.

    Use it as a context manager: the file is in its place when the block ends
    without an exception, and nothing of it is left otherwise.  Ids must be
    unique within the file: that is the planner's duty and not checked here.
    Raises ``StorageError``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shards = 0
        self.candidates = 0
        self._stack = ExitStack()

    def __enter__(self) -> CandidateWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path.parent}: can't be made: {error}") from error
        self._write = self._stack.enter_context(table_writer(self.path, CANDIDATES))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def write_shard(
        self,
        rows: Sequence[Row],
        checked: Mapping[bytes, Checked] | None = None,
        keys: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Append one shard, of one candidate at least.  By candidate_id: ``checked``, those
        that the policy found something at, and ``keys``, those that the cache may keep."""
        if not rows:
            raise ValueError("a shard has at least one candidate")
        known = checked or {}
        records = [
            _record(*row, known.get(row[0], _NOTHING)) | {"cache_key": (keys or {}).get(row[0])}
            for row in rows
        ]
        try:
            table = pa.Table.from_pylist(records, schema=CANDIDATES)
        except UnicodeEncodeError:
            bad = next(row for row in rows if not _encodes(row[2]))
            raise StorageError(
                f"{self.path}: the candidate of row {bad[1]} (task {bad[2].task_id!r}) holds a lone"
                " surrogate, which no UTF-8 file can hold; reject the row when it is read"
            ) from None
        self._write(table)
        self.shards += 1
        self.candidates += len(rows)


def shard_count(path: Path) -> int:
    """How many shards the file has.  Raises ``StorageError``."""
    with _open(path) as file:
        return int(file.num_row_groups)


def shard_sizes(path: Path) -> tuple[int, ...]:
    """Candidates in each shard; read once for each file.  Raises ``StorageError``."""
    try:
        found = path.stat()
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror}") from error
    return _sizes(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=64)
def _sizes(path: Path, _mtime_ns: int, _bytes: int) -> tuple[int, ...]:
    with _open(path) as file:
        metadata = file.metadata
        return tuple(metadata.row_group(n).num_rows for n in range(metadata.num_row_groups))


def read_shard(path: Path, shard: int) -> list[Row]:
    """The candidates of one shard, in the order in which they were written.

    Raises ``StorageError`` for a damaged file and a shard that it doesn't have.
    """
    with _open(path) as file:
        if not 0 <= shard < file.num_row_groups:
            raise StorageError(f"{path}: has no shard {shard}: it has {file.num_row_groups}")
        try:
            records = file.read_row_group(shard).to_pylist()
            return [_row(record) for record in records]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StorageError(
                f"{path}: shard {shard} can't be read: {error}; the file is damaged or was written"
                " by another version of hpc_runner"
            ) from error


def read_checked(path: Path, shard: int) -> dict[bytes, Checked]:
    """By candidate_id, the candidates of a shard that the policy found something at.

    Nothing for a file of a version that had no policy.  Raises as ``read_shard`` does.
    """
    with _open(path) as file:
        if "findings" not in file.schema_arrow.names:
            return {}
        try:
            records = file.read_row_group(shard, ["candidate_id", "findings", "refused"])
        except (pa.ArrowException, OSError) as error:
            raise StorageError(f"{path}: shard {shard} can't be read: {error}") from error
    return {
        record["candidate_id"]: Checked(tuple(record["findings"]), record["refused"])
        for record in records.to_pylist()
        if record["findings"]
    }


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{path}: can't be read: {error}") from error


def _record(
    candidate_id: bytes, row: int, candidate: Candidate, checked: Checked
) -> dict[str, Any]:
    return {
        "candidate_id": candidate_id,
        "row": row,
        "task_id": candidate.task_id,
        "language": candidate.language,
        "code": candidate.code,
        "tests": json.dumps(candidate.tests.model_dump(mode="json")),
        "limits": json.dumps(candidate.limits.model_dump(mode="json")),
        "dependencies": list(candidate.dependencies),
        "env": json.dumps(candidate.env),
        "generation": candidate.generation,
        "parent": candidate.parent,
        "findings": list(checked.findings),
        "refused": checked.refused,
    }


def _row(record: dict[str, Any]) -> Row:
    candidate = Candidate(
        task_id=record["task_id"],
        code=record["code"],
        tests=tests_adapter.validate_python(json.loads(record["tests"])),
        language=record["language"],
        limits=Limits.model_validate(json.loads(record["limits"])),
        dependencies=tuple(record["dependencies"]),
        env=json.loads(record["env"]),
        generation=record["generation"],
        parent=record["parent"],
    )
    return record["candidate_id"], record["row"], candidate


def _encodes(candidate: Candidate) -> bool:
    texts = (candidate.task_id, candidate.code, candidate.language, *candidate.dependencies)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
