"""Samples with their programs and votes: what every export is made of."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from hpc_runner.errors import RunError
from hpc_runner.results.query import candidate_files, connect, table_view
from hpc_runner.results.schema import CANDIDATES, SAMPLES, SCHEMA_VERSION, VOTES
from hpc_runner.rundir import RunDir

__all__ = ["JOINED", "joined"]

_FROM_CANDIDATES = ("language", "code")
_FROM_VOTES = tuple(name for name in VOTES.names if name not in ("candidate_id", "task_id"))

JOINED = pa.schema(
    [
        *SAMPLES,
        *(CANDIDATES.field(name) for name in _FROM_CANDIDATES),
        *(VOTES.field(name) for name in _FROM_VOTES),
    ],
    metadata={
        "hpc_runner.schema": "joined",
        "hpc_runner.schema_version": str(SCHEMA_VERSION),
    },
)
"""Columns of ``samples``, then language and code of the candidate, then its vote."""

_QUERY = f"""
SELECT {", ".join(f"s.{name}" for name in SAMPLES.names)},
       {", ".join(f"c.{name}" for name in _FROM_CANDIDATES)},
       {", ".join(f"v.{name}" for name in _FROM_VOTES)}
FROM samples s
JOIN candidates c USING (candidate_id)
JOIN votes v ON v.candidate_id = s.candidate_id AND v.wave = 0
ORDER BY s.row
"""


def joined(run: RunDir, *, memory_limit: str = "512MB") -> Iterator[pa.Table]:
    """One row for each sample, in the order of the corpus, piece by piece, with schema ``JOINED``.

    Raises ``RunError`` for a run that has not been voted on, ``StorageError``
    for damaged files.
    """
    if not run.votes.exists():
        raise RunError(
            f"{run.root} has no votes yet: `hpc-runner resume {run.root}` goes on with the run"
        )
    with connect(run, memory_limit=memory_limit) as connection:
        table_view(connection, "samples", [run.samples])
        table_view(connection, "candidates", candidate_files(run))
        table_view(connection, "votes", [run.votes])
        for batch in connection.sql(_QUERY).to_arrow_reader(4096):
            yield pa.Table.from_batches([batch]).cast(JOINED)
