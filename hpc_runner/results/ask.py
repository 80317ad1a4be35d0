"""A user's own SQL over the tables of a run: it reads them and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from hpc_runner.errors import ConfigError, StorageError
from hpc_runner.results.query import candidate_files, connect, result_files, steady, table_view
from hpc_runner.results.schema import CANDIDATES, REJECTED, RESULTS, SAMPLES, VOTES
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["TABLES", "answer", "tables"]

TABLES = {
    "candidates": CANDIDATES,
    "samples": SAMPLES,
    "results": RESULTS,
    "votes": VOTES,
    "rejected": REJECTED,
}
"""Names of the views."""


def answer(run: RunDir, sql: str, *, memory_limit: str = "1GB") -> Iterator[pa.RecordBatch]:
    """What ``sql`` finds, batch by batch; the first one comes also when there are no rows.

    The query sees the views of ``TABLES``, a temporary directory inside the run to spill into,
    and neither network nor other files; it can't change anything.  Raises ``ConfigError`` for
    a query that fails, ``RunError`` for what is no run, ``StorageError``.
    """
    with ExitStack() as stack:
        batches = steady(run, lambda: _begun(stack, run, sql, memory_limit))
        with _told():
            yield from batches


def _begun(stack: ExitStack, run: RunDir, sql: str, memory_limit: str) -> Iterator[pa.RecordBatch]:
    """The batches, when the first ones are there: all files have been found by then."""
    import duckdb

    stack.close()
    connection = stack.enter_context(tables(run, memory_limit=memory_limit))
    with _told():
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError(f"give one SELECT (found {sql!r}); the tables: {_names()}")
        reader = connection.sql(sql).to_arrow_reader(65_536)
        first = [pa.RecordBatch.from_pylist([], schema=reader.schema), *islice(reader, 1)]
        return chain(first, reader)


@contextmanager
def _told() -> Iterator[None]:
    """What the database says, as an error of the user's; of the disk's, if a file is not there."""
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise StorageError(
            f"{error}\nIf the run put its results together meanwhile, ask again"
        ) from error
    except duckdb.Error as error:
        raise ConfigError(f"{error}\nThe tables are {_names()}") from error


@contextmanager
def tables(run: RunDir, *, memory_limit: str = "512MB") -> Iterator[DuckDBPyConnection]:
    """A database with the views of ``TABLES`` that reaches no other file any more.

    Before a run has voted ``votes`` is empty, and ``results`` holds finished shards.
    """
    read_info(run)
    waves = run.waves()
    files: dict[str, list[Path]] = {
        "candidates": [path for wave in waves for path in candidate_files(run, wave)],
        "results": result_files(run, waves),
        **{name: [getattr(run, name)] for name in ("samples", "votes", "rejected")},
    }
    with connect(run, memory_limit=memory_limit) as connection:
        directories = connection.execute("SELECT current_setting('temp_directory')").fetchone()
        found = [path for paths in files.values() for path in paths if path.exists()]
        allowed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in found)
        for name, schema in TABLES.items():
            there = [path for path in files[name] if path.exists()]
            table_view(connection, name, there, schema)
        assert directories is not None
        scratch = str(directories[0]).replace("'", "''")
        connection.execute(f"SET allowed_paths = [{allowed}]")
        connection.execute(f"SET allowed_directories = ['{scratch}']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _names() -> str:
    return ", ".join(TABLES)
