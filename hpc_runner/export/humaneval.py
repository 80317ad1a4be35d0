"""Results as HumanEval's own evaluator writes them: ``<samples>_results.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpc_runner.export.joined import joined
from hpc_runner.model import Verdict
from hpc_runner.results.files import atomic_file
from hpc_runner.rundir import RunDir

__all__ = ["humaneval_result", "write_humaneval"]


def write_humaneval(run: RunDir, out: Path) -> int:
    """One line for each sample, in the order of the corpus: ``task_id``, ``completion`` (the
    whole program that was run), ``result``, ``passed``.  Returns the number of lines.

    Raises ``RunError`` before the vote, ``StorageError``.
    """
    lines = 0
    with atomic_file(out) as file:
        for table in joined(run):
            for row in table.to_pylist():
                line = {
                    "task_id": row["task_id"],
                    "completion": row["code"],
                    "result": humaneval_result(row),
                    "passed": row["accepted"],
                }
                file.write((json.dumps(line) + "\n").encode())
                lines += 1
    return lines


def humaneval_result(row: dict[str, Any]) -> str:
    """``passed``, ``timed out`` or ``failed: ...`` for a row of ``JOINED``."""
    if row["accepted"]:
        return "passed"
    verdict = row["verdict"]
    if verdict is None:
        return "failed: unjudged"
    if verdict == Verdict.ACCEPTED.value:
        return f"failed: no consensus, accepted in {row['agreement']:.0%} of {row['judged']}"
    if verdict == Verdict.TIME_LIMIT.value:
        return "timed out"
    if row["error_type"] is None:
        return f"failed: {verdict}"
    message = f": {row['error_message']}" if row["error_message"] else ""
    return f"failed: {verdict}: {row['error_type']}{message}"
