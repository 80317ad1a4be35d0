"""Which samples of the corpus were accepted only after they were refined.

A sample points to its candidate of wave 0, as it came; what was made of that one
points back by ``parent``, over as many generations as there are.  A sample counts
as accepted, in verdicts and pass@k, when it is accepted as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_runner.results.candidates import pieces
from hpc_runner.results.query import table_view
from hpc_runner.results.schema import CANDIDATES
from hpc_runner.rundir import RunDir

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["accepted_after_refinement"]

_QUERY = """
WITH RECURSIVE ancestors AS (
    SELECT r.parent AS candidate_id
    FROM refined r JOIN votes v ON v.candidate_id = r.candidate_id AND v.wave > 0
    WHERE v.accepted AND r.parent IS NOT NULL
    UNION
    SELECT r.parent FROM ancestors a JOIN refined r USING (candidate_id)
    WHERE r.parent IS NOT NULL
)
SELECT count(*)
FROM samples s JOIN ancestors a USING (candidate_id)
LEFT JOIN (FROM votes WHERE wave = 0) v USING (candidate_id)
WHERE NOT coalesce(v.accepted, false)
"""


def accepted_after_refinement(connection: DuckDBPyConnection, run: RunDir, waves: list[int]) -> int:
    """Samples that aren't accepted as they came, and of which something accepted was made.

    The connection has the views ``samples`` and ``votes``.
    """
    later = [path for wave in waves if wave > 0 for path in pieces(run.candidates(wave))]
    if not later:
        return 0
    table_view(connection, "refined", later, CANDIDATES)
    (count,) = connection.execute(_QUERY).fetchall()[0]
    return int(count)
