"""The commands of hpc-runner on a real cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from clusters import Cluster

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROFILE = """\
partition = "main"
time = "00:05:00"
memory = "1G"
cpus_per_task = 2
array_parallelism = 8
scratch = "{scratch}/$SLURM_JOB_ID"
runtime = "local"
[environment]
TEST_COLOUR = "blue"
"""


@pytest.fixture
def cli(cluster: Cluster, checkout: Path, tmp_path: Path) -> Run:
    def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hpc_runner", *map(str, words)],
            cwd=tmp_path,
            env={**cluster.environment, "PYTHONPATH": str(checkout), "COLUMNS": "200"}
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return run


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(PROFILE.format(scratch=tmp_path / "scratch"))
    return path


ON_CLUSTER = ("--cluster", "slurm", "--profile")


def test_a_run_on_the_cluster(cli: Run, cluster: Cluster, profile: Path, tmp_path: Path) -> None:
    done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "Accepted by consensus" in done.stdout
    status = json.loads(cli("status", "run", "--json").stdout)
    assert (status["phase"], status["done"]) == ("done", 108)
    assert cluster.run("squeue", "-h") == "", "nothing is left in the queue"
    assert list((tmp_path / "scratch").iterdir()), "workers had their scratch"
    again = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", "--slurm", "time=7")
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert json.loads((tmp_path / "run" / "profile.json").read_text())["time"] == "00:07:00"


def test_a_dry_run_shows_the_script_and_leaves_nothing(
    cli: Run, cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    for line in ("job arrays     0-", "core-hours     ", "#SBATCH --partition=main",
                 "#SBATCH --cpus-per-task=2", "export TEST_COLOUR=blue",
                 "#SBATCH --output=" + str(tmp_path / "run/waves/000/arrays")):  # fmt: skip
        assert line in done.stdout
    assert "remark" not in done.stdout
    assert not (tmp_path / "run").exists()
    assert cluster.run("squeue", "-h") == ""
    script = done.stdout.partition("\n\nThe job script of the first array:\n\n")[2]
    (tmp_path / "script").write_text(script)
    checked = subprocess.run(
        ["sbatch", "--test-only", tmp_path / "script"],
        env=cluster.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, "Slurm takes it: " + checked.stderr


def test_what_slurm_refuses_is_told(cli: Run, profile: Path) -> None:
    done = cli("run", "example", *ON_CLUSTER, profile, "--slurm", "partition=nowhere", "--out", "r")
    assert done.returncode == 1
    assert "invalid partition" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_can_go_on_here(cli: Run, profile: Path) -> None:
    """Planned for the cluster, which then takes no more jobs."""
    refused = cli("run", "example", *ON_CLUSTER, profile, "--slurm", "partition=no", "--out", "r")
    assert refused.returncode == 1
    done = cli("resume", "r", "--cluster", "local", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "Accepted by consensus" in done.stdout


def test_a_machine_without_slurm_says_so(cli: Run, profile: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    path = {"PATH": str(tmp_path / "bin"), "SLURM_CONF": os.devnull}
    done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", **path)
    assert done.returncode == 2
    assert "this machine has no Slurm, or a module is not loaded" in done.stderr
    shown = cli("run", "example", *ON_CLUSTER, profile, "--dry-run", **path)
    assert shown.returncode == 0, shown.stderr
    assert "remark         how large an array may be is a guess" in shown.stdout
