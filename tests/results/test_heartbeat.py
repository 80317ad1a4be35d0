"""Heartbeats: what a worker writes is what the coordinator reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hpc_runner.results.store import read_heartbeats, write_heartbeat
from hpc_runner.rundir import RunDir

CONTENT = {
    "wave": 0,
    "writer": "node1-42",
    "pid": 42,
    "host": "node1",
    "done": 7,
    "planned": 9,
    "verdicts": {"accepted": 7},
}


def test_heartbeats_come_back_by_shard(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    before = datetime.now(UTC)
    for shard in (10, 2):
        write_heartbeat(run.heartbeat(0, shard), {**CONTENT, "shard": shard})
    write_heartbeat(run.heartbeat(0, 2), {**CONTENT, "shard": 2, "done": 8, "in_flight": 1})
    found = read_heartbeats(run, 0)
    assert [(beat.shard, beat.done, beat.in_flight) for beat in found] == [(2, 8, 1), (10, 7, 0)]
    assert found[0].verdicts == {"accepted": 7}
    assert before <= found[0].updated_at <= datetime.now(UTC)
    assert len(list(run.heartbeat(0, 0).parent.iterdir())) == 2


def test_seconds_are_a_time_too(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    write_heartbeat(run.heartbeat(0, 0), {**CONTENT, "shard": 0, "updated_at": 86400.5})
    [beat] = read_heartbeats(run, 0)
    assert beat.updated_at == datetime(1970, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)


def test_what_is_no_heartbeat_is_left_out(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert read_heartbeats(run, 0) == []
    write_heartbeat(run.heartbeat(0, 0), {**CONTENT, "shard": 0})
    run.heartbeat(0, 1).write_text('{"wave": 0')
    run.heartbeat(0, 2).write_text("[]")
    assert len(read_heartbeats(run, 0)) == 1
