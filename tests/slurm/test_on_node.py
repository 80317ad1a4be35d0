"""`hpc-runner doctor --cluster` on a real cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import Cluster


def cli(cluster: Cluster, checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpc_runner", *words],
        env={**cluster.environment, "PYTHONPATH": str(checkout), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_node_is_seen_with_what_an_array_task_gets(cluster: Cluster, checkout: Path) -> None:
    given = ("--slurm", "memory=1G", "--slurm", "cpus_per_task=2")
    done = cli(cluster, checkout, "doctor", "--cluster", "--json", *given)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    here, node = found["here"], found["node"]
    assert found["trouble"] is None
    assert (here["place"], node["place"]) == ("login node", "compute node")
    assert here["cluster"] == node["cluster"] != ""
    assert here["job"] is None
    assert node["job"]["node"] in ("n1", "n2", "n3", "n4")
    assert node["job"]["cpus"] == node["cores_by_slurm"] == 2
    if list((cluster.root / "cgroup").iterdir()):  # else no job is held to its memory
        assert node["memory_usable_bytes"] <= 1 << 30
    assert node["slots"] == min(node["slots_by_cores"], node["slots_by_memory"])
    assert node["runtimes"]["local"]["agent"]["isolation"] in ("limits", "filtered", "full")


def test_a_queue_that_does_not_move_is_left_at_the_deadline(
    cluster: Cluster, checkout: Path
) -> None:
    full = cluster.sbatch("-N4", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 300")
    try:
        cluster.wait_for(lambda: cluster.states(full) == ["RUNNING"])
        done = cli(cluster, checkout, "doctor", "--cluster", "--wait", "3")
        assert done.returncode == 1
        assert "No compute node was seen: " in done.stdout
        assert "was PENDING (" in done.stdout and "is cancelled" in done.stdout
        names = cluster.run("squeue", "-h", "-o", "%j").split()
        assert not [name for name in names if name.startswith("hpcr-on-node")]
    finally:
        cluster.run("scancel", str(full))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("python=python9", "python9: not found"),
    ],
)
def test_what_slurm_or_the_node_refuses_is_told(
    cluster: Cluster, checkout: Path, given: str, said: str
) -> None:
    done = cli(cluster, checkout, "doctor", "--cluster", "--slurm", given)
    assert done.returncode == 1
    assert said in done.stdout.splitlines()[-1]
