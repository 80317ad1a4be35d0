"""Processes that coordinate a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_plans import Drive

from hpc_runner.rundir import RunDir

HERE = Path(__file__).parent


@pytest.fixture
def drive() -> Iterator[Drive]:
    """Starts a coordinator in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(run: RunDir, workers: int = 2, **environment: str) -> subprocess.Popen[str]:
        home = str(HERE.parents[1])
        process = subprocess.Popen(
            [sys.executable, str(HERE / "drive.py"), str(run.root), str(workers)],
            env={**os.environ, "PYTHONPATH": home, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.communicate()
