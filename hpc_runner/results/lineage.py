"""Which samples of the corpus were accepted only after they were refined.

A sample points to its candidate of wave 0, as it came; what was made of that one
points back by ``parent``, over as many generations as there are, and ``refined.parquet``
has those, too, whose repair was a candidate of the run already.  A sample counts
as accepted, in verdicts and pass@k, when it is accepted as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_runner.results.candidates import pieces
from hpc_runner.results.query import table_view
from hpc_runner.results.schema import CANDIDATES, REFINED
from hpc_runner.rundir import RunDir

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["accepted_after_refinement"]

_MENDED = """
CREATE OR REPLACE TEMP TABLE mended AS
WITH RECURSIVE made AS (
    SELECT candidate_id, parent FROM later WHERE parent IS NOT NULL
    UNION
    SELECT child, candidate_id FROM refined WHERE child IS NOT NULL
),
ancestors AS (
    SELECT m.parent AS candidate_id
    FROM made m SEMI JOIN (FROM votes WHERE accepted) v USING (candidate_id)
    UNION
    SELECT m.parent FROM ancestors a JOIN made m USING (candidate_id)
)
SELECT DISTINCT candidate_id FROM ancestors
"""
_QUERY = """
SELECT count(*)
FROM samples s JOIN mended a USING (candidate_id)
LEFT JOIN (FROM votes WHERE wave = 0) v USING (candidate_id)
WHERE NOT coalesce(v.accepted, false)
"""


def accepted_after_refinement(connection: DuckDBPyConnection, run: RunDir, waves: list[int]) -> int:
    """Samples that aren't accepted as they came, and of which something accepted was made.

    The connection has the views ``samples`` and ``votes``; it gets ``refined``, and ``mended``:
    the candidates that something accepted was made of.
    """
    later = [path for wave in waves if wave > 0 for path in pieces(run.candidates(wave))]
    table_view(connection, "later", later, CANDIDATES)
    table_view(connection, "refined", run.refined_files(), REFINED)
    connection.execute(_MENDED)
    (count,) = connection.execute(_QUERY).fetchall()[0]
    return int(count)
