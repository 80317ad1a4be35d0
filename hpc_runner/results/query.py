"""DuckDB over the files of a run: bounded memory, spilling inside the run directory."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from hpc_runner.errors import StorageError
from hpc_runner.results.candidates import pieces
from hpc_runner.results.schema import RESULTS
from hpc_runner.rundir import RunDir

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "candidate_files",
    "connect",
    "database",
    "dict_rows",
    "result_files",
    "steady",
    "table_view",
]

T = TypeVar("T")


@contextmanager
def connect(run: RunDir, *, memory_limit: str = "512MB") -> Iterator[DuckDBPyConnection]:
    """``database`` that spills into the run directory."""
    scratch = run.scratch(f"{os.getpid()}-{secrets.token_hex(4)}")
    mend = "A damaged file under results/ can be removed: `hpc-runner resume` makes it again"
    with database(scratch, run.root, mend, memory_limit=memory_limit) as connection:
        yield connection


@contextmanager
def database(
    scratch: Path, where: Path, mend: str, *, memory_limit: str = "512MB"
) -> Iterator[DuckDBPyConnection]:
    """An in-memory database that spills into ``scratch`` and reaches no network.

    ``scratch`` is gone when the block ends.  What goes wrong in DuckDB inside the block
    becomes a ``StorageError`` about ``where`` that says how to ``mend`` it.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "threads": min(4, len(os.sched_getaffinity(0))),
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(":memory:", config=config) as connection:
            yield connection
    except duckdb.Error as error:
        raise StorageError(f"{where}: its files can't be queried: {error}. {mend}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def result_files(run: RunDir, waves: Iterable[int]) -> list[Path]:
    """The files that hold the finished shards, by wave and shard."""
    return [path for wave in waves for _, path in run.result_files(wave)]


def steady(run: RunDir, ask: Callable[[], T]) -> T:
    """``ask()``, which reads results; once more when it failed because they were compacted
    meanwhile: the same rows lie in other files then.  Raises what ``ask`` raises."""
    before = result_files(run, run.waves())
    try:
        return ask()
    except StorageError:
        if result_files(run, run.waves()) == before:
            raise
    return ask()


def candidate_files(run: RunDir, wave: int = 0) -> list[Path]:
    """All candidates of a wave: for the first one, those that the cache knew, too."""
    known = []
    if wave == 0 and run.cached_candidates.exists():
        known = pieces(run.cached_candidates)
    return [*pieces(run.candidates(wave)), *known]


def table_view(
    connection: DuckDBPyConnection, name: str, files: Iterable[Path], empty: pa.Schema = RESULTS
) -> None:
    """Make ``name`` a view of Parquet files; of an empty table with schema ``empty`` if none.

    Beside the columns of the files it has ``file_row_number``, from 0 in each file.
    """
    quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    if quoted:
        source = f"read_parquet([{quoted}], union_by_name = true, file_row_number = true)"
    else:
        connection.register(f"no_{name}", empty.empty_table())
        source = f"(SELECT *, 0::BIGINT AS file_row_number FROM no_{name})"
    connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {source}")


def dict_rows(
    connection: DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What a query finds, each row by the names of its columns."""
    found = connection.execute(query, parameters)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
