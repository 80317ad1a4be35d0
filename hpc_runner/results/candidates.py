"""``candidates.parquet`` of a wave: a row group is a shard.

After ``SHARDS_PER_FILE`` shards another file goes on (``candidates-001.parquet``,
...): a worker reads the footer of the one that holds its shard, and a footer
grows with each row group.  The first file gets its name last of all.
"""

from __future__ import annotations

import functools
import itertools
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
from hpc_runner.results.files import atomic_file, row_groups, table_writer, write_json
from hpc_runner.results.schema import CANDIDATES
from hpc_runner.rundir import RunDir, piece

__all__ = [
    "CandidateWriter",
    "Checked",
    "pieces",
    "read_checked",
    "read_columns",
    "read_shard",
    "shard_count",
    "shard_sizes",
    "wave_writer",
]

SHARDS_PER_FILE = 1000

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

    def __init__(self, path: Path, *, sizes: Path | None = None) -> None:
        """``sizes``: a file that is told the candidates of each shard, before ``path`` is there."""
        self.path = path
        self._sizes_path = sizes
        self._sizes: list[int] = []
        self._first, self._current = ExitStack(), ExitStack()

    def __enter__(self) -> CandidateWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_pieces()
            file = self._first.enter_context(atomic_file(self.path))
            # Statistics of programs and digests help no query.
            groups = row_groups(file, CANDIDATES, statistics=False)
            self._write = self._current.enter_context(groups)
        except OSError as error:
            raise StorageError(f"{self.path.parent}: can't be written: {error}") from error
        return self

    @property
    def shards(self) -> int:
        return len(self._sizes)

    @property
    def candidates(self) -> int:
        return sum(self._sizes)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._current.close()
                if self._sizes_path is not None:
                    write_json(self._sizes_path, {"shards": self._sizes}, indent=None)
        except BaseException as failure:
            self._give_up(failure)
            raise
        if error is None:
            self._first.close()
        else:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        how = (type(error), error, error.__traceback__)
        try:
            self._current.__exit__(*how)
        finally:
            self._remove_pieces()
            self._first.__exit__(*how)

    def _remove_pieces(self) -> None:
        """All but the first, also those that a killed process left."""
        for one in pieces(self.path)[1:]:
            one.unlink(missing_ok=True)

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
        number, group = divmod(self.shards, SHARDS_PER_FILE)
        if number and not group:
            self._current.close()
            writer = table_writer(piece(self.path, number), CANDIDATES, statistics=False)
            self._write = self._current.enter_context(writer)
        self._write(table)
        self._sizes.append(len(rows))


def pieces(path: Path) -> list[Path]:
    """The files that go on where ``path`` ends, after itself."""
    found = itertools.takewhile(Path.exists, (piece(path, n) for n in itertools.count(1)))
    return [path, *found]


def shard_count(path: Path) -> int:
    """How many shards there are.  Raises ``StorageError``."""
    count = 0
    for one in pieces(path):
        with _open(one) as file:
            count += file.num_row_groups
    return count


def read_columns(path: Path, shards: Sequence[int], columns: Sequence[str]) -> pa.Table:
    """Some columns of some shards, in their order.  Raises ``StorageError``."""
    places: dict[Path, list[int]] = {}
    for shard in shards:
        where, group = _place(path, shard)
        places.setdefault(where, []).append(group)
    tables = []
    for where, groups in places.items():
        with _open(where) as file:
            try:
                tables.append(file.read_row_groups(groups, columns=list(columns)))
            except (pa.ArrowException, OSError) as error:
                raise StorageError(f"{where}: can't be read: {error}") from error
    return pa.concat_tables(tables)


def wave_writer(run: RunDir, wave: int) -> CandidateWriter:
    """Writes the candidates of a wave, in their place."""
    return CandidateWriter(run.candidates(wave), sizes=run.shard_sizes(wave))


def shard_sizes(run: RunDir, wave: int) -> tuple[int, ...]:
    """Candidates in each shard of a wave; read once for each file.  Raises ``StorageError``."""
    try:
        found = run.candidates(wave).stat()
    except OSError as error:
        raise StorageError(f"{run.candidates(wave)}: can't be read: {error.strerror}") from error
    return _sizes(run, wave, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=64)
def _sizes(run: RunDir, wave: int, _mtime_ns: int, _bytes: int) -> tuple[int, ...]:
    try:
        return tuple(map(int, json.loads(run.shard_sizes(wave).read_bytes())["shards"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # the footer tells it, too: tens of megabytes in a large run
    sizes: list[int] = []
    for one in pieces(run.candidates(wave)):
        with _open(one) as file:
            metadata = file.metadata
            sizes += (metadata.row_group(n).num_rows for n in range(metadata.num_row_groups))
    return tuple(sizes)


def _place(path: Path, shard: int) -> tuple[Path, int]:
    """The file that holds a shard, and its row group there."""
    number, group = divmod(shard, SHARDS_PER_FILE)
    later = piece(path, number)
    return (later, group) if number and later.exists() else (path, shard)


def read_shard(path: Path, shard: int) -> list[Row]:
    """The candidates of one shard, in the order in which they were written.

    Raises ``StorageError`` for a damaged file and a shard that it doesn't have.
    """
    place, group = _place(path, shard)
    with _open(place) as file:
        if not 0 <= group < file.num_row_groups:
            raise StorageError(f"{path}: has no shard {shard}: it has {shard_count(path)}")
        try:
            records = file.read_row_group(group).to_pylist()
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
    place, group = _place(path, shard)
    with _open(place) as file:
        if "findings" not in file.schema_arrow.names:
            return {}
        try:
            records = file.read_row_group(group, ["candidate_id", "findings", "refused"])
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
        "description": candidate.description or None,
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
        description=record.get("description") or "",
    )
    return record["candidate_id"], record["row"], candidate


def _encodes(candidate: Candidate) -> bool:
    texts = (candidate.task_id, candidate.code, candidate.language, *candidate.dependencies)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
