"""Live progress: plain lines away from a terminal, one bar on it."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from hpc_runner.report.progress import Heartbeat, Progress, Snapshot


def plain(*snapshots: Snapshot) -> list[str]:
    console = Console(file=io.StringIO(), width=40)
    with Progress(console, line_s=5) as progress:
        for snapshot in snapshots:
            progress.update(snapshot)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_lines_come_every_few_seconds_and_at_the_end() -> None:
    lines = plain(
        *(
            Snapshot(
                done=100 * second,
                total=1200,
                verdicts={"wrong_answer": 10, "accepted": 90 * second, "time_limit": 0},
                in_flight=2,
                elapsed_s=second,
            )
            for second in range(13)
        )
    )
    assert len(lines) == 4
    assert lines[0] == "0/1,200 (0 %)  0.0 s  2 running  wrong_answer 10"
    assert lines[1] == (
        "500/1,200 (41 %)  5.0 s  100.0/s  ETA 7.0 s  2 running  accepted 450  wrong_answer 10"
    )
    assert lines[3].startswith("1,200/1,200 (100 %)  12 s  100.0/s  2 running  accepted 1,080")


def test_what_an_earlier_session_did_does_not_count_for_the_rate() -> None:
    progress = Progress(Console(file=io.StringIO()))
    progress.update(Snapshot(done=5000, total=9000, elapsed_s=0))
    assert progress.rate() is None
    progress.update(Snapshot(done=5020, total=9000, elapsed_s=2))
    assert progress.rate() == pytest.approx(10)


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    progress = Progress(Console(file=io.StringIO()))
    for second in range(100):
        done = second * 1000 if second < 50 else 50_000 + (second - 50)
        progress.update(Snapshot(done=done, total=10**6, elapsed_s=second))
    assert progress.rate() == pytest.approx(1)


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Progress(console) as progress:
        progress.update(Snapshot(done=1, total=4, verdicts={"accepted": 1}, elapsed_s=1))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "1/4 (25 %)" in text and "accepted 1" in text
    assert "\x1b[2K" in text


def test_a_snapshot_is_the_sum_of_the_workers() -> None:
    now = datetime.now(UTC)
    beats = [
        Heartbeat(0, n, "w", 1, "h", 10 * n, 30, {"accepted": n, "time_limit": 1}, now, 2)
        for n in (1, 2)
    ]
    snapshot = Snapshot.of(beats, total=100, elapsed_s=3)
    assert snapshot == Snapshot(30, 100, {"accepted": 3, "time_limit": 2}, 4, 3)
    assert Snapshot.of(beats, total=10, elapsed_s=0).total == 60
