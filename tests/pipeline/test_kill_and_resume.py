"""HumanEval with the real worker, killed again and again: as if it had run unbroken."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hpc_runner.results.journal import decode_lines
from hpc_runner.rundir import RunDir

Start = Callable[[RunDir], "subprocess.Popen[str]"]
Rows = dict[tuple[bytes, int], tuple[str, datetime]]


def rows(run: RunDir) -> Rows:
    """Whatever a run has kept so far: (candidate, round) → verdict and when it began."""
    kept: Rows = {}
    found = [
        row
        for path in run.wave(0).glob("parts/*/*.journal")
        for row in decode_lines(path.read_bytes(), path)
    ]
    for pattern in ("parts/*/*.parquet", "results/[0-9]*.parquet"):
        for path in run.wave(0).glob(pattern):
            found += pq.read_table(path).to_pylist()
    for row in found:
        kept[row["candidate_id"], row["round"]] = (row["verdict"], row["started_at"])
    return kept


@pytest.fixture
def start(checkout: Path, shared_data: Callable[[str], Path]) -> Start:
    corpus = shared_data("HumanEval.jsonl.gz")

    def start(run: RunDir) -> subprocess.Popen[str]:
        words = ["run", str(corpus), "--out", str(run.root), "--runtime", "local", "--quiet"]
        words += ["--require-isolation", "limits", "--workers", "2"]
        return subprocess.Popen(
            [sys.executable, "-m", "hpc_runner", *words],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    return start


def end(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def test_ten_kills_change_nothing(tmp_path: Path, start: Start) -> None:
    run = RunDir(tmp_path / "killed")
    moments = random.Random(11)
    before: Rows = {}
    for _ in range(10):
        process = start(run)
        # A while after the first new result, so that slow machines are killed at work, too.
        patience = time.monotonic() + 60
        while len(rows(run)) <= len(before) and process.poll() is None:
            assert time.monotonic() < patience
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 0.3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        now = rows(run)
        # What was kept is still there, and is the same execution.
        assert before.items() <= now.items()
        before = now
    assert 0 < len(before) < 492, "the kills came too late to show anything"

    said = end(start(run))
    assert "164 of 164" in said
    after = rows(run)
    assert before.items() <= after.items()
    assert not list(run.wave(0).glob("parts/*/*"))

    unbroken = RunDir(tmp_path / "unbroken")
    end(start(unbroken))
    expected = rows(unbroken)
    assert len(expected) == 492
    assert {key: verdict for key, (verdict, _) in after.items()} == {
        key: verdict for key, (verdict, _) in expected.items()
    }


def test_ctrl_c_keeps_everything(tmp_path: Path, start: Start) -> None:
    run = RunDir(tmp_path / "run")
    process = start(run)
    while not rows(run) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"hpc-runner resume {run.root}" in said
    kept = rows(run)
    assert kept
    assert "164 of 164" in end(start(run))
    assert kept.items() <= rows(run).items()
