"""What workers say of themselves while they run.  For the eye and for finding the dead:
nothing is decided by a heartbeat that results on the disk can decide."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

__all__ = ["Heartbeat", "read_heartbeat", "read_heartbeats", "write_heartbeat"]


@dataclass(frozen=True)
class Heartbeat:
    """One worker's last word on one shard; counts are executions of that shard."""

    wave: int
    shard: int
    writer: str
    pid: int
    host: str
    done: int
    """With those that earlier workers left, and those that early stop left out."""
    planned: int
    verdicts: dict[str, int]
    updated_at: datetime
    in_flight: int = 0


def write_heartbeat(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the heartbeat at ``path`` (``RunDir.heartbeat``), atomically, without fsync.

    Keys are the fields of ``Heartbeat``; ``updated_at`` (seconds since 1970, or
    ISO 8601) is now unless it is given.  Raises ``StorageError``.
    """
    now = datetime.now(UTC).isoformat()
    write_json(path, {"updated_at": now, **content}, durable=False)


def read_heartbeats(run: RunDir, wave: int, *, without: Set[int] = frozenset()) -> list[Heartbeat]:
    """The heartbeats of a wave, by shard, but for the shards ``without``.

    One that can't be understood is left out.
    """
    shards = sorted(run.beating_shards(wave) - without)
    found = (read_heartbeat(run, wave, shard) for shard in shards)
    return [heartbeat for heartbeat in found if heartbeat]


def read_heartbeat(run: RunDir, wave: int, shard: int) -> Heartbeat | None:
    """None when there is none that can be understood."""
    return _read(run.heartbeat(wave, shard))


def _read(path: Path) -> Heartbeat | None:
    try:
        content = json.loads(path.read_bytes())
        moment = content["updated_at"]
        return Heartbeat(
            wave=int(content["wave"]),
            shard=int(content["shard"]),
            writer=str(content["writer"]),
            pid=int(content["pid"]),
            host=str(content["host"]),
            done=int(content["done"]),
            planned=int(content["planned"]),
            verdicts={str(name): int(count) for name, count in content["verdicts"].items()},
            updated_at=datetime.fromisoformat(moment)
            if isinstance(moment, str)
            else datetime.fromtimestamp(moment, UTC),
            in_flight=int(content.get("in_flight", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
