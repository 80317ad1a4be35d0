"""``waves/NNN/ledger.json``: what the coordinator must not forget.

Whether a shard is finished stands on the disk; what is queued, the scheduler
knows.  The ledger holds the rest: which attempts were taken note of, what
failed and where, which nodes get no more work, and how far the search for a
candidate that kills its workers has come.  Only the coordinator writes it,
whole, before it acts.  What is known of a shard is dropped when it is finished,
so that the file's size follows the failures and not the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc_runner.errors import StorageError
from hpc_runner.results.files import atomic_file
from hpc_runner.rundir import RunDir

__all__ = [
    "Failure",
    "Killer",
    "Ledger",
    "Search",
    "ShardRecord",
    "ledger_warnings",
    "read_ledger",
    "write_ledger",
]

_LISTED = 20

Rows = tuple[int, int]
"""[first, end) of a shard's rows."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=False)


class Failure(_Model):
    """An attempt that counts against its shard."""

    attempt: str
    detail: str
    node: str | None
    at: datetime


class Search(_Model):
    """The search for what kills the workers of a shard; see pipeline/halving.py."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Of the portion that runs now; drawn anew for each."""
    todo: tuple[Rows, ...]
    """What still has to be run, in order; the first is the portion that runs now."""
    killers: dict[int, str] = {}
    """Row → how its worker ended when it ran alone."""
    passes: int = 0
    """Portions that went well."""


class ShardRecord(_Model):
    """Of a shard that isn't finished and had an attempt that ended."""

    counted: list[str] = []
    """Attempts that were taken note of."""
    failures: list[Failure] = []
    """Those that count, since the shard was last given other work."""
    fruitless: int = 0
    """Attempts in a row that were lost, or out of time, without having got anything done."""
    done: int = 0
    """Executions that were done when the last such attempt ended."""
    search: Search | None = None


class Killer(_Model):
    """A candidate that was given up."""

    shard: int
    row: Annotated[int, Field(description="in the shard, from 0")]
    reason: str


class Ledger(_Model):
    """Of one wave."""

    shards: dict[int, ShardRecord] = {}
    failed_on: dict[str, list[int]] = {}
    """Node → the shards whose workers failed there, one entry for each failure."""
    excluded: list[str] = []
    """Nodes that get no more work."""
    killers: list[Killer] = []
    """Of the shards that are finished."""
    finished: int = 0
    """Shards that were finished when this was last written."""
    votes_kept: bool = False
    """The result cache has been given the wave's votes."""
    barren: int = 0
    """Failures since a shard was last finished, or a portion of one."""

    def shard(self, shard: int) -> ShardRecord:
        return self.shards.setdefault(shard, ShardRecord())


def read_ledger(run: RunDir, wave: int) -> Ledger:
    """An empty one when there is none; nodes excluded by earlier waves stay so.

    Raises ``StorageError`` for one that can't be understood.
    """
    path = run.ledger(wave)
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        before = read_ledger(run, wave - 1).excluded if wave else []
        return Ledger(excluded=before)
    except (OSError, ValidationError) as error:
        raise StorageError(
            f"{path}: can't be read ({type(error).__name__}). It may be removed: what failed "
            "before is then forgotten, and nothing else"
        ) from error


def write_ledger(run: RunDir, wave: int, ledger: Ledger) -> None:
    """Raises ``StorageError``."""
    with atomic_file(run.ledger(wave)) as file:
        file.write(ledger.model_dump_json(exclude_defaults=True).encode())


def ledger_warnings(run: RunDir, waves: Iterable[int]) -> tuple[str, ...]:
    """What the user should know of nodes and candidates that were given up, a line each."""
    nodes: dict[str, int] = {}
    killers = []
    for wave in waves:
        ledger = read_ledger(run, wave)
        for node in ledger.excluded:
            nodes[node] = nodes.get(node, 0) + len(ledger.failed_on.get(node, ()))
        killers += [(wave, killer) for killer in ledger.killers]
    lines = [
        f"node {node} got no more work: {count} workers failed there that don't elsewhere"
        for node, count in nodes.items()
    ]
    lines += [
        f"candidate {killer.row} of shard {killer.shard} of wave {wave} was given up: "
        f"it ran alone, and {killer.reason}"
        for wave, killer in killers[:_LISTED]
    ]
    if len(killers) > _LISTED:
        lines.append(f"and {len(killers) - _LISTED} more candidates that killed their workers")
    return tuple(lines)
