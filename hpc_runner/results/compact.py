"""Many small result files of a wave in few: the same rows, in the order of shard and key.

A wave of thousands of short shards leaves thousands of small files, and to open one takes
longer than to read it.  After the vote runs of such files become one each:

    results/compacted/00000-00999.parquet   the rows of shards 0 to 999

It is written whole and renamed into place, and counts from then on; only then the files of
its shards are removed.  ``RunDir`` knows both, so that whoever reads sees each row once,
whatever dies in between, and a late copy of a shard that writes its result after that is not
looked at.  ``take_apart`` is the way back, for a shard that is to run again.

Only the coordinator of a run calls this, when all shards of the wave are finished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.results.files import table_writer, temporary_files, write_table
from hpc_runner.results.schema import RESULTS
from hpc_runner.results.store import with_verdicts
from hpc_runner.rundir import RunDir

__all__ = ["compact", "take_apart"]

WORTH_IT = 200
"""Small files of a wave from which on they are put together."""
SMALL_BYTES = 1 << 20
FILE_BYTES = 128 << 20
"""What goes into one file: that much of small ones, ..."""
FILE_SHARDS = 1000
"""... and that many: a wave is taken apart and voted on file by file."""
LEAST = 16
"""No file is made of fewer."""
_GROUP_BYTES = 32 << 20  # of a row group, in memory
_GROUP_ROWS = 100_000
_READERS = 8  # a file system across a network answers many questions as fast as one

_log = logging.getLogger(__name__)


def compact(run: RunDir, wave: int) -> int:
    """Put the small files of a finished wave together, where there are many (``WORTH_IT``).

    Returns the number of files that were made.  May be killed at any point and called again,
    and finishes then what was begun.  Files that can't be read, or are of another version, are
    left as they are.  Raises ``StorageError`` when the disk refuses.
    """
    _remove(run.superseded_results(wave))
    small = [
        (shards.start, size)
        for shards, path in run.result_files(wave)
        if len(shards) == 1 and (size := path.stat().st_size) < SMALL_BYTES
    ]
    if len(small) < WORTH_IT:
        return 0
    made = 0
    run.compacted(wave).mkdir(exist_ok=True)
    for shards in _groups(small):
        made += _put_together(run, wave, shards)
    _remove(run.superseded_results(wave))
    return made


def take_apart(run: RunDir, wave: int, shards: range) -> None:
    """Give each of the shards of a compacted file its own one again.

    Until all of them are there the compacted one counts.  Raises ``StorageError``.
    """
    path = run.compacted_result(wave, shards)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for shard, rows in _by_shard(file, shards):
                write_table(run.result(wave, shard), with_verdicts(rows))
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: can't be read: {error}. Remove it and resume the run: its shards run again"
        ) from error
    _remove([path])


def _groups(small: Iterable[tuple[int, int]]) -> Iterator[range]:
    """Runs of consecutive shards for one file each, from (shard, bytes) in order.

    Two coordinators that see the same files make the same of them."""
    first, end, size = 0, 0, 0
    for shard, bytes_ in [*small, (-1, 0)]:
        full = end - first >= FILE_SHARDS or size + bytes_ > FILE_BYTES
        if shard != end or full:
            if end - first >= LEAST:
                yield range(first, end)
            first, size = shard, 0
        end, size = shard + 1, size + bytes_


def _put_together(run: RunDir, wave: int, shards: range) -> bool:
    path = run.compacted_result(wave, shards)
    _remove(list(temporary_files(path)))
    try:
        with table_writer(path, RESULTS) as write:
            for table in _row_groups(run, wave, shards):
                write(table)
    except _Unusable as reason:
        _log.warning("%s: left as it is, with the files beside it: %s", run.wave(wave), reason)
        return False
    return True


class _Unusable(Exception):
    """A file that is not to be touched."""


def _row_groups(run: RunDir, wave: int, shards: range) -> Iterator[pa.Table]:
    """The rows of the shards in order, so many together as make a good row group."""
    gathered: list[pa.Table] = []
    rows = size = 0
    with ThreadPoolExecutor(_READERS) as pool:
        for first in range(shards.start, shards.stop, 8 * _READERS):
            some = range(first, min(first + 8 * _READERS, shards.stop))
            for table in pool.map(lambda shard: _read(run.result(wave, shard), shard), some):
                gathered.append(table)
                rows, size = rows + table.num_rows, size + table.nbytes
                if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                    yield pa.concat_tables(gathered).unify_dictionaries()
                    gathered, rows, size = [], 0, 0
    if gathered:
        yield pa.concat_tables(gathered).unify_dictionaries()


def _read(path: Path, shard: int) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _Unusable(f"{path}: {error}") from error
    if not table.schema.equals(RESULTS):
        raise _Unusable(f"{path} was written by another version of hpc_runner")
    if table.num_rows and pc.unique(table["shard"]).to_pylist() != [shard]:
        raise _Unusable(f"{path} has rows of other shards")
    return table.replace_schema_metadata(RESULTS.metadata)


def _by_shard(file: pq.ParquetFile, shards: range) -> Iterator[tuple[int, pa.Table]]:
    """Each of the shards with its rows, which are ordered by shard."""
    pending, shard = [RESULTS.empty_table()], shards.start
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        found: list[Any] = pc.unique(table["shard"]).to_pylist()
        for next_ in found:
            while shard < next_:
                yield shard, pa.concat_tables(pending).unify_dictionaries()
                pending, shard = [RESULTS.empty_table()], shard + 1
            pending.append(table.filter(pc.field("shard") == shard))
    while shard < shards.stop:
        yield shard, pa.concat_tables(pending).unify_dictionaries()
        pending, shard = [RESULTS.empty_table()], shard + 1


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: can't be removed: {error.strerror}") from error
