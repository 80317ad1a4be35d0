"""Sarus where it belongs: in array tasks, several ranks on a node, cancelled by Slurm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clusters import Cluster
from test_arrays_on_a_cluster import (
    EXAMPLES,
    EXPECTED,
    coordinate,
    planned,
    scheduler,
    verdicts,
)

from hpc_runner.pipeline.coordinator import Phase
from hpc_runner.sandbox.sarus import OPTIONS, PROGRAM

# The double and how it is prepared are those of the sandbox's own tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sandbox"))

import sarus_host
from sarus_host import SarusHost

RANK = """
import os, sys
from hpc_runner.sandbox import images
from hpc_runner.sandbox.sarus import SarusRuntime
from hpc_runner.sandbox.selfcheck import check_agent
runtime, image = SarusRuntime(), images.find("py311")
runtime.load(image, lambda text: print("loaded", flush=True))
print(check_agent(runtime, image).isolation, os.environ["SLURM_PROCID"])
"""
STUCK = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def sarus() -> Iterator[SarusHost]:
    """Root's, as the jobs of these tests are."""
    try:
        with sarus_host.prepared() as host:
            yield host
    except sarus_host.Unavailable as error:
        pytest.skip(str(error))


def ours(host: SarusHost) -> list[list[str]]:
    """What ``sarus ps`` says of what runs."""
    rows = [line.split() for line in host.run("ps").stdout.splitlines()[1:]]
    return [row for row in rows if row[2] != "stopped"]


def test_a_run_whose_array_tasks_start_sarus(
    here: Cluster, sarus: SarusHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAM, sarus.program)  # for the plan; jobs have it from the profile
    run = planned(tmp_path, EXAMPLES / "corpus.jsonl", shard_size=12, runtime="sarus")
    monkeypatch.delenv(PROGRAM)
    found = scheduler(run, profile={"sarus": {"program": sarus.program}})
    assert coordinate(run, found).phase is Phase.DONE
    expected = {name: entry["verdict"] for name, entry in EXPECTED.items() if entry["verdict"]}
    assert verdicts(run).items() >= expected.items()
    for file in run.results(0).glob("*.parquet"):
        table = pq.read_table(file, columns=["environment_digest"])
        assert set(table["environment_digest"].to_pylist()) == {sarus.image.digest}
    assert ours(sarus) == []


def test_ranks_of_a_node_load_once_and_start_agents_of_their_own(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sarus_host.scratch() as top:
        monkeypatch.setenv(PROGRAM, sarus_host.install(top))
        monkeypatch.delenv(OPTIONS, raising=False)
        said = cluster.run("srun", "-N1", "-n3", sys.executable, "-c", RANK, timeout=240)
    assert said.count("loaded") == 1
    ranks = [line.split()[1] for line in said.splitlines() if line != "loaded"]
    assert sorted(ranks) == ["0", "1", "2"]


def test_what_slurm_cancels_leaves_no_container(cluster: Cluster, sarus: SarusHost) -> None:
    """The container is in the job's control group, whatever it does with signals."""
    options = ["--pid=private", "--init", "--name", "cancelled", sarus_host.reference(sarus)]
    command = ["srun", "-N1", "-n1", sarus.program, "run", *options, "python3", "-c", STUCK]
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE) as step:
        assert step.stdout is not None and step.stdout.readline() == b"up\n"
        [row] = ours(sarus)
        [job] = cluster.run("squeue", "-h", "-o", "%i").split()
        cluster.run("scancel", job)
        step.wait(60)
    cluster.wait_for(lambda: not Path(f"/proc/{row[1]}").exists())
    assert ours(sarus) == []
