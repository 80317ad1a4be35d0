"""`hpc-runner query`: SQL over the tables of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpc_runner.commands.options import RunArgument, open_run, size
from hpc_runner.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["QUERY_EPILOG", "query"]

FORMATS = ("table", "json", "csv", "parquet")
QUERY_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    'hpc-runner query runs/humaneval "SELECT verdict, count(*) FROM votes GROUP BY ALL"\n\n'
    'hpc-runner query runs/humaneval "FROM votes WHERE flaky" --format csv --out flaky.csv'
)


def query(
    run: RunArgument,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's SQL.")],
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="table, json (an object in each line), csv or parquet.",
            autocompletion=lambda: list(FORMATS),
        ),
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="stdout")
    ] = None,
    memory: Annotated[
        str, typer.Option(help="What the query may use before it spills.", metavar="SIZE")
    ] = "1g",
) -> None:
    """Ask a run: SQL over candidates, samples, results, votes and rejected."""
    from hpc_runner.results.ask import answer
    from hpc_runner.results.files import atomic_file, table_writer

    if format not in FORMATS:
        raise ConfigError(f"--format: one of {', '.join(FORMATS)} (found {format!r})")
    limit = f"{max(64, size(memory) >> 20)}MiB"
    batches = answer(open_run(run), sql, memory_limit=limit)
    if format == "parquet":
        import pyarrow as pa

        if out is None:
            raise ConfigError("--format parquet: give a file with --out")
        first = next(batches)
        with table_writer(out.absolute(), first.schema) as write:
            write(pa.Table.from_batches([first]))
            for batch in batches:
                write(pa.Table.from_batches([batch]))
    elif out is not None:
        with atomic_file(out.absolute()) as file:
            for line in _lines(batches, format):
                file.write(line.encode("utf-8", "backslashreplace"))
    else:
        for line in _lines(batches, format):
            sys.stdout.write(line)


def _lines(batches: Iterator[pa.RecordBatch], format: str) -> Iterator[str]:  # noqa: A002
    if format == "json":
        return _json(batches)
    return _csv(batches) if format == "csv" else _table(batches)


def _json(batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    import json

    for batch in batches:
        for row in batch.to_pylist():
            yield json.dumps(_plain(row), ensure_ascii=False) + "\n"


def _csv(batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    import csv
    import io

    for number, batch in enumerate(batches):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not number:
            writer.writerow(batch.schema.names)
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        writer.writerows([_plain(value) for value in row] for row in rows)
        yield text.getvalue()


def _table(batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    """The first rows of an answer, for people."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    most, shown, more = 100, 0, False
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, batch in enumerate(batches):
        if not number:
            for name in batch.schema.names:
                table.add_column(Text(name), overflow="fold")
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            more = shown == most
            if more:
                break
            shown += 1
            table.add_row(*(Text(_short(_plain(value))) for value in row))
        if more:
            break
    text = io.StringIO()
    console = Console(file=text, width=Console().width)
    console.print(table)
    if more:
        console.print(f"the first {most} rows; --format csv gives all")
    yield text.getvalue()


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _plain(value: Any) -> Any:
    """Bytes as hex, times as text, all the way down."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
