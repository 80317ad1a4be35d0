"""What a worker may run of a shard that keeps failing.

The coordinator looks for the candidate that kills the shard's workers by
letting them run less and less of it (pipeline/halving.py).  It writes a
portion before it submits the shard; the worker reads it when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hpc_runner.errors import StorageError
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

__all__ = ["Portion", "is_done", "mark_done", "read_portion", "remove_portion", "write_portion"]


@dataclass(frozen=True)
class Portion:
    """Rows ``first`` to ``end`` (not included) of a shard, counted from 0."""

    name: str
    """No two portions of a shard share one."""
    first: int
    end: int
    whole: bool = False
    """The last pass: nothing is left to run, and the worker writes the shard's result."""
    unjudged: Mapping[int, str] = field(default_factory=dict)
    """Row → why it is never run again; written as ``internal_error``."""


def write_portion(run: RunDir, wave: int, shard: int, portion: Portion) -> None:
    """Does nothing when it stands there already.  Raises ``StorageError``."""
    if read_portion(run, wave, shard) != portion:
        write_json(run.portion(wave, shard), asdict(portion))


def read_portion(run: RunDir, wave: int, shard: int) -> Portion | None:
    """None when the whole shard may be run, as is usual.  Raises ``StorageError``."""
    path = run.portion(wave, shard)
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        reasons = content.pop("unjudged")
        return Portion(**content, unjudged={int(row): str(why) for row, why in reasons.items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: can't be read: {error}") from error


def remove_portion(run: RunDir, wave: int, shard: int) -> None:
    """The shard's next worker runs all of it.  Raises ``StorageError``."""
    path = run.portion(wave, shard)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: can't be removed: {error.strerror}") from error


def mark_done(run: RunDir, wave: int, shard: int, portion: Portion) -> None:
    """Everything of the portion has been run and committed.  Raises ``StorageError``."""
    write_json(run.portion_done(wave, shard, portion.name), {"first": portion.first})


def is_done(run: RunDir, wave: int, shard: int, name: str) -> bool:
    return run.portion_done(wave, shard, name).exists()
