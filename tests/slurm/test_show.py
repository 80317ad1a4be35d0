"""HumanEval in many copies, by nothing but Slurm jobs, on four nodes.

Small as a test; `make slurm-show` has 20 copies (3,280 candidates) in 64 shards.  The copies
are made here, of the corpus that lies beside the checkout.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from clusters import Cluster

from hpc_runner.pipeline.arrays import job_prefix, read_array
from hpc_runner.pipeline.chain import chain_name
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

COPIES = int(os.environ.get("SLURM_SHOW_COPIES", "2"))
SHARDS = int(os.environ.get("SLURM_SHOW_SHARDS", "8"))
ROUNDS = 3
PROBLEMS = 164
CANDIDATES = COPIES * PROBLEMS
LONGEST_S = 300 + COPIES * 120
"""Of a run, on a machine that does much else."""
MARK = "HPC_RUNNER_SHOW"
"""A variable that everything has which comes of a command of a test."""
PROFILE = """\
time = 30
cpus_per_task = 2
memory = "1G"
array_parallelism = 16
runtime = "local"
"""


@pytest.fixture
def corpus(shared_data: Callable[[str], Path], tmp_path: Path) -> Path:
    """Programs that are all different and right, each problem ``COPIES`` times."""
    with gzip.open(shared_data("HumanEval.jsonl.gz"), "rt", encoding="utf-8") as file:
        problems = [json.loads(line) for line in file]
    assert len(problems) == PROBLEMS
    path = tmp_path / "copies.jsonl"
    with path.open("w") as out:
        for copy in range(COPIES):
            for problem in problems:
                code = f"{problem['canonical_solution']}\n# copy {copy}\n"
                out.write(json.dumps({**problem, "canonical_solution": code}) + "\n")
    return path


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    profile = tmp_path / "site.toml"
    profile.write_text(PROFILE)
    size = -(-CANDIDATES // SHARDS)
    told = {"--profile": profile, "--shard-size": size, "--rounds": ROUNDS, "--cache": "off"}
    return [str(word) for pair in told.items() for word in pair]


def command(
    cluster: Cluster, checkout: Path, tmp_path: Path, *words: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)),
        cwd=tmp_path,
        env={**cluster.environment, "PYTHONPATH": str(checkout), MARK: str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def slurms(pid: int) -> bool:
    """Whether it descends from what Slurm starts for a job."""
    while pid > 1:
        if Path(f"/proc/{pid}/comm").read_text().strip() == "slurmstepd":
            return True
        pid = parent(pid)
    return False


def marked(tmp_path: Path) -> list[tuple[int, str, bool]]:
    """Id, command and whether it is Slurm's, of each process with our mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={tmp_path}\0".encode() in (process / "environ").read_bytes():
                pid = int(process.name)
                words = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
                found.append((pid, words, slurms(pid)))
        except OSError:
            continue  # it has ended
    return found


def on_login_node(tmp_path: Path) -> list[str]:
    """Commands of ours that run outside of Slurm."""
    return [words for _, words, theirs in marked(tmp_path) if not theirs]


def end_of(cluster: Cluster, tmp_path: Path, run: RunDir) -> bool:
    """Wait for the queue to be empty; whether array tasks were seen to run under Slurm alone."""
    seen = []

    def over() -> bool:
        assert on_login_node(tmp_path) == []
        seen.append(any("submitit" in words for _, words, _ in marked(tmp_path)))
        return not cluster.run("squeue", "-h")

    cluster.wait_for(over, LONGEST_S)
    assert run.summary.exists(), run.coordinator_log.read_text()
    return any(seen)


def check_verdicts(run: RunDir) -> None:
    """Every candidate is accepted, by ``ROUNDS`` executions, once each."""
    votes = pq.read_table(run.votes, columns=["task_id", "accepted", "judged", "unjudged"])
    assert len(votes) == CANDIDATES
    wrong = [v for v in votes.to_pylist() if not v["accepted"] or v["judged"] != ROUNDS]
    assert wrong == []
    assert len(set(votes["task_id"].to_pylist())) == PROBLEMS
    keys: list[tuple[bytes, int]] = []
    for path in run.results(0).glob("*.parquet"):
        rows = pq.read_table(path, columns=["candidate_id", "round", "verdict"])
        assert set(rows["verdict"].to_pylist()) == {"accepted"}
        keys += zip(rows["candidate_id"].to_pylist(), rows["round"].to_pylist(), strict=True)
    assert len(keys) == len(set(keys)) == CANDIDATES * ROUNDS


def jobs(cluster: Cluster, prefix: str) -> list[tuple[str, str, str, str]]:
    """State, start, end and node of each job or array task whose name begins so."""
    told = cluster.run("squeue", "-hr", "-t", "all", "-o", "%j|%T|%S|%e|%N")
    rows = [line.split("|") for line in told.splitlines()]
    return [(row[1], row[2], row[3], row[4]) for row in rows if row[0].startswith(prefix)]


def check_jobs(cluster: Cluster, run: RunDir) -> None:
    """Each shard ran once, on several nodes; one coordinator before the array tasks, one after."""
    tasks = jobs(cluster, job_prefix(read_info(run).run_id))
    assert len(tasks) == SHARDS == len(run.finished_shards(0))
    assert {state for state, *_ in tasks} == {"COMPLETED"}
    # Few shards may end before the last node is needed.
    nodes = {node for *_, node in tasks}
    assert nodes == {"n1", "n2", "n3", "n4"} if SHARDS > 32 else len(nodes) > 1
    assert [read_array(run, *key).shards for key in run.arrays()] == [tuple(range(SHARDS))]
    ran = sorted(job[1:] for job in jobs(cluster, chain_name(run)) if job[0] == "COMPLETED")
    first, last = ran
    assert first[0] <= min(start for _, start, _, _ in tasks)
    assert last[0] >= max(end for _, _, end, _ in tasks), "it waited for all of the array"


def test_submit(
    here: Cluster, checkout: Path, corpus: Path, options: list[str], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    words = ("submit", corpus, "--out", run.root, *options)
    done = command(here, checkout, tmp_path, sys.executable, "-m", "hpc_runner", *words)
    assert done.returncode == 0, done.stderr
    assert on_login_node(tmp_path) == []
    assert end_of(here, tmp_path, run), "array tasks have the mark that is looked for"
    check_verdicts(run)
    check_jobs(here, run)


def test_a_script_for_sbatch(
    here: Cluster, checkout: Path, corpus: Path, options: list[str], tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    program = tmp_path / "hpc-runner"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hpc_runner "$@"\n')
    program.chmod(0o755)
    script = checkout / "slurm" / "validate.sbatch"
    words = (f"--export=ALL,HPC_RUNNER={program}", script, corpus, run.root, *options)
    done = command(here, checkout, tmp_path, "sbatch", *words)
    assert done.returncode == 0, done.stderr
    assert on_login_node(tmp_path) == []
    assert end_of(here, tmp_path, run)
    check_verdicts(run)
    check_jobs(here, run)
    (log,) = tmp_path.glob("hpc-runner-*.log")
    assert re.search(r"Job \d+ coordinates", log.read_text())
