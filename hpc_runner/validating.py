"""``hpc_runner.validate``: verdicts for programs, many at a time, again and again.

Made for reward functions in training loops: the agents stay warm between calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hpc_runner.config import RunConfig, explain
from hpc_runner.errors import CorpusError
from hpc_runner.executions import Vote
from hpc_runner.model import Candidate
from hpc_runner.warm import WarmPool

__all__ = ["close_pools", "validate"]

_pools: dict[str, WarmPool] = {}
_lock = threading.Lock()


def validate(
    candidates: Iterable[Candidate | Mapping[str, Any]],
    *,
    slots: int = 5,
    ahead: int | None = None,
    **options: Any,
) -> Iterator[Vote]:
    """The votes on ``candidates``, in their order.

    A candidate is a ``Candidate`` or a mapping with its fields: ``code``, and ``tests``,
    ``limits``... as in a corpus of our own format (docs/corpus.md); ``task_id`` may be left out.
    ``slots``: executions at a time.  ``options``: those of a run by name (rounds, runtime,
    environments, limits...).  Calls with the same options share warm agents, also from several
    threads; ``close_pools`` ends them, as does the end of the process.

    At most ``ahead`` candidates (64) are taken before the vote on the first of them is.  A vote
    whose ``verdict`` is None says in ``trouble`` why the sandbox could not judge the candidate.
    Raises ``ConfigError`` at once, ``CorpusError`` for a candidate that is none.
    """
    config = RunConfig.parse({"corpus": (), "slots": slots, **options})
    return _pool(config).votes(_read(candidates), ahead=ahead)


def close_pools() -> None:
    """End the agents of all ``validate``; the next call starts new ones."""
    with _lock:
        pools = list(_pools.values())
        _pools.clear()
    for pool in pools:
        pool.close()


def _pool(config: RunConfig) -> WarmPool:
    key = config.model_dump_json()
    with _lock:
        if key not in _pools:
            _pools[key] = WarmPool(config)
        return _pools[key]


def _read(candidates: Iterable[Candidate | Mapping[str, Any]]) -> Iterator[Candidate]:
    for number, given in enumerate(candidates):
        if isinstance(given, Candidate):
            yield given
            continue
        try:
            yield Candidate.model_validate({"task_id": str(number), **given})
        except (ValidationError, TypeError) as error:
            told = explain(error) if isinstance(error, ValidationError) else str(error)
            raise CorpusError(f"candidate {number}: {told}") from error
