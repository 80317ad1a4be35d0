"""A dozen faults on a real cluster; ``make chaos`` injects more than a hundred."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from clusters import skip_without_slurm

PROGRAM = Path(__file__).with_name("campaign.py")
DEADLINE_S = 500
"""For a machine that is busy; pytest ends a test that takes 600 s."""


def test_whatever_happens_to_a_run_it_ends_as_if_nothing_had(tmp_path: Path) -> None:
    skip_without_slurm("unshare", "mount")
    out = tmp_path / "rows.json"
    with subprocess.Popen(
        [sys.executable, PROGRAM, "--some", "--json", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as campaign:
        try:
            said, _ = campaign.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.kill(campaign.pid, signal.SIGINT)  # it takes its cluster down
            said, _ = campaign.communicate(timeout=60)
            said += "\nnot done in time"
    print(said)
    assert campaign.returncode == 0, said
    rows = json.loads(out.read_text())
    assert sum(row["injected"] for row in rows) >= 10
