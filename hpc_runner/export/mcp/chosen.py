"""The accepted candidates of a run, of all its waves, with what is known of their votes."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hpc_runner import __version__
from hpc_runner.corpus.policy import given_environment
from hpc_runner.errors import ConfigError, RunError
from hpc_runner.export.mcp.tools import Provenance, ValidatedIn
from hpc_runner.model import Candidate, Limits, tests_adapter
from hpc_runner.results.query import candidate_files, connect, dict_rows, table_view
from hpc_runner.results.schema import REFINED
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info

__all__ = ["chosen"]

_QUERY = """
SELECT c.*, v.wave, v.agreement, v.agreement_low, v.judged, v.judge, v.reliability,
       r.how AS refined_how, r.model AS refined_model
FROM votes v JOIN candidates c USING (candidate_id)
LEFT JOIN (
    SELECT child, any_value(how) AS how, any_value(model) AS model FROM refined
    WHERE child IS NOT NULL GROUP BY child
) r ON r.child = candidate_id
WHERE v.accepted AND v.agreement >= $least
QUALIFY row_number() OVER (PARTITION BY candidate_id ORDER BY v.wave) = 1
ORDER BY c.row, v.wave, candidate_id
"""


def chosen(
    run: RunDir, tasks: Sequence[str], min_agreement: float
) -> Iterator[tuple[Candidate, Provenance]]:
    """In the order of the corpus; ``tasks``: ids, or patterns such as ``HumanEval/1*``; all
    tasks if there are none.

    Raises ``ConfigError`` when a pattern fits no accepted candidate, ``RunError`` for a run
    without votes, ``StorageError``.
    """
    if not 0 < min_agreement <= 1:
        raise ConfigError(f"--min-agreement: above 0 and at most 1 (found {min_agreement:g})")
    info = read_info(run)
    if not run.votes.exists():
        raise RunError(
            f"{run.root} has no votes yet: `hpc-runner resume {run.root}` goes on with the run"
        )
    with connect(run) as database:
        files = [path for wave in run.waves() for path in candidate_files(run, wave)]
        table_view(database, "candidates", files)
        table_view(database, "votes", [run.votes])
        table_view(database, "refined", run.refined_files(), REFINED)
        rows = dict_rows(database, _QUERY, {"least": min_agreement - 1e-9})
    unused = set(tasks)
    for row in rows:
        fitting = [one for one in tasks if fnmatch.fnmatchcase(row["task_id"], one)]
        if tasks and not fitting:
            continue
        unused -= set(fitting)
        yield _candidate(row, info), _provenance(row, info)
    if unused:
        raise ConfigError(
            f"--task: no accepted candidate with an agreement of {min_agreement:g} is of a task"
            f" {', '.join(sorted(unused))}"
        )


def _candidate(row: dict[str, Any], info: RunInfo) -> Candidate:
    """With the variables that it was really given."""
    candidate = Candidate(
        task_id=row["task_id"],
        code=row["code"],
        tests=tests_adapter.validate_python(json.loads(row["tests"])),
        language=row["language"],
        limits=Limits.model_validate(json.loads(row["limits"])),
        dependencies=tuple(row["dependencies"]),
        env=json.loads(row["env"]),
        generation=row["generation"],
        parent=row["parent"],
    )
    env = given_environment(candidate, info.config.policy)
    return candidate.model_copy(update={"env": env})


def _provenance(row: dict[str, Any], info: RunInfo) -> Provenance:
    return Provenance(
        run_id=info.run_id,
        task_id=row["task_id"],
        candidate_id=row["candidate_id"].hex(),
        wave=row["wave"],
        generation=row["generation"],
        parent=row["parent"].hex() if row["parent"] else None,
        refined_by=row["refined_model"] or row["refined_how"],
        judged=row["judged"],
        agreement=row["agreement"],
        agreement_low=row["agreement_low"],
        reliability=row["reliability"],
        judge=row["judge"],
        environments=tuple(
            ValidatedIn(name=e.name, python=e.python, image=e.image.digest if e.image else None)
            for e in info.environments
        ),
        require_isolation=info.config.require_isolation,
        hpc_runner=__version__,
    )
