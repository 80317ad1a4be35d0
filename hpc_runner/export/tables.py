"""The joined table as JSON lines and as Parquet."""

from __future__ import annotations

import json
from pathlib import Path

from hpc_runner.export.joined import JOINED, joined
from hpc_runner.results.files import atomic_file, table_writer
from hpc_runner.rundir import RunDir

__all__ = ["write_jsonl", "write_parquet"]


def write_jsonl(run: RunDir, out: Path) -> int:
    """One object for each sample with the columns of ``JOINED``; ids in hex.  Returns the lines.

    Raises ``RunError`` before the vote, ``StorageError``.
    """
    lines = 0
    with atomic_file(out) as file:
        for table in joined(run):
            for row in table.to_pylist():
                row["candidate_id"] = row["candidate_id"].hex()
                file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
                lines += 1
    return lines


def write_parquet(run: RunDir, out: Path) -> int:
    """The same as a Parquet file with schema ``JOINED``.  Returns the rows."""
    rows = 0
    with table_writer(out, JOINED) as write:
        for table in joined(run):
            write(table)
            rows += table.num_rows
    return rows
