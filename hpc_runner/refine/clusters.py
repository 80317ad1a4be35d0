"""Candidates that fail alike share an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from hpc_runner.model import canonical_json
from hpc_runner.refine.answers import normalised
from hpc_runner.refine.failures import Failure

__all__ = ["cluster_key", "clusters"]


def cluster_key(failure: Failure) -> str:
    """Hex SHA-256 of what makes two failures the same: the task, its tests, the program but for
    comments and layout, how it failed, and the programs that it was made of.

    It doesn't depend on strategies, examples or fences, so that a run that goes on after a
    crash asks no question a second time.
    """
    candidate = failure.candidate
    content = {
        "task": candidate.task_id,
        "tests": candidate.tests.model_dump(mode="json"),
        "language": candidate.language,
        "code": normalised(candidate.code, candidate.language),
        "verdict": failure.verdict,
        "error": [failure.error_type, failure.error_message],
        "history": [normalised(one.code, candidate.language) for one in failure.history],
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def clusters(failures: Iterable[Failure]) -> Iterator[tuple[str, list[Failure]]]:
    """By key, in the order of the first of each."""
    found: dict[str, list[Failure]] = {}
    for failure in failures:
        found.setdefault(cluster_key(failure), []).append(failure)
    yield from found.items()
