"""HumanEval many times over on a private Slurm cluster, by `submit` and by sbatch.

    python benchmarks/slurm_humaneval.py [--copies 20] [--shards 64] [--rounds 3] [--how submit]

Starts four nodes with slurm/testcluster (root, and Debian's Slurm), makes each copy another
program by a comment, submits the run, and waits with nothing but squeue.  Checks that every
vote is `accepted`, that nothing is left in the queue and that no process of ours stays outside
of it; prints where the seconds went.  The corpus is shared/data/HumanEval.jsonl.gz beside the
checkout, or --corpus.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
HOW = ("submit", "sbatch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = CHECKOUT.parent / "shared" / "data" / "HumanEval.jsonl.gz"
    parser.add_argument("--corpus", type=Path, default=beside)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2, help="of an array task (2)")
    parser.add_argument("--how", choices=HOW, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
        corpus = Path(scratch) / "corpus.jsonl"
        candidates = write_copies(options.corpus, corpus, options.copies)
        size = math.ceil(candidates / options.shards)
        cluster = Path(scratch) / "cluster"
        script = CHECKOUT / "slurm" / "testcluster"
        subprocess.run([script, "up", cluster], check=True, stdout=subprocess.DEVNULL)
        try:
            for how in options.how or HOW:
                show(how, corpus, Path(scratch) / how, cluster, size, options)
        finally:
            subprocess.run([script, "down", cluster], check=True)


def write_copies(corpus: Path, target: Path, copies: int) -> int:
    """A candidate is a task's canonical solution with a comment; returns how many there are."""
    with gzip.open(corpus, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    with target.open("w") as file:
        for copy in range(copies):
            for row in rows:
                text = row["canonical_solution"] + f"\n# copy {copy}\n"
                name = f"{row['task_id']}/{copy}"
                file.write(json.dumps({**row, "task_id": name, "canonical_solution": text}) + "\n")
    return len(rows) * copies


def show(
    how: str, corpus: Path, run: Path, cluster: Path, size: int, options: argparse.Namespace
) -> None:
    environment = {**os.environ, "SLURM_CONF": f"{cluster}/slurm.conf"}
    told = ["--runtime", "local", "--shard-size", size, "--rounds", options.rounds]
    told += ["--cache", "off", "--slurm", f"cpus_per_task={options.cpus}"]
    program = Path(sys.executable).with_name("hpc-runner")
    words = [program, "submit", corpus, "--out", run, *told]
    if how == "sbatch":
        environment["HPC_RUNNER"] = str(program)
        log = f"--output={run}.log"
        words = ["sbatch", log, CHECKOUT / "slurm" / "validate.sbatch", corpus, run, *told]
    began = time.time()
    subprocess.run([str(word) for word in words], env=environment, check=True)
    returned_s = time.time() - began
    outside = strays(run)
    most = 0
    while queue := subprocess.run(
        ["squeue", "-hr", "-t", "R", "-o", "%i"], env=environment, capture_output=True, text=True,
        check=True,
    ).stdout.split() or subprocess.run(
        ["squeue", "-h"], env=environment, capture_output=True, text=True, check=True
    ).stdout.split():  # fmt: skip
        most = max(most, len(queue))
        outside = outside or strays(run)
        time.sleep(1)  # squeue has no way to wait
    report(how, run, began, returned_s, outside)


def strays(run: Path) -> list[str]:
    """Commands that name the run and are in no job."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            # A coordinator takes the variables of its job from the sbatch that it calls.
            in_job = b"SLURM_JOB_ID=" in (process / "environ").read_bytes()
            in_job = in_job or "/job_" in (process / "cgroup").read_text()
        except OSError:
            continue
        named = any(word == str(run) or word.startswith(f"{run}/") for word in words)
        if named and not in_job and "slurmstepd" not in words[0]:
            found.append(" ".join(words))
    return found


def report(how: str, run: Path, began: float, returned_s: float, outside: list[str]) -> None:
    query = duckdb.connect()
    votes = query.execute(
        f"SELECT verdict, count(*) FROM '{run}/votes.parquet' GROUP BY 1 ORDER BY 2 DESC"
    ).fetchall()
    rows = query.execute(
        "SELECT count(*), count(DISTINCT (candidate_id, environment, round)), "
        "epoch(min(started_at)), max(epoch(started_at) + wall_s), sum(cpu_s) "
        f"FROM '{run}/waves/*/results/*.parquet'"
    ).fetchone()
    assert rows is not None
    executions, distinct, first, last, cpu_s = rows
    arrays = [json.loads(path.read_text()) for path in sorted(run.glob("waves/*/arrays/*.json"))]
    coordinators = (run / "coordinator.log").read_text().count("\n")
    voted = (run / "votes.parquet").stat().st_mtime
    print(f"{how}: returned after {returned_s:.1f} s")
    print(f"  votes {dict(votes)}")
    print(
        f"  executions {executions:,}, distinct {distinct:,}; shards "
        f"{[len(array['shards']) for array in arrays]}; coordinators' log {coordinators} lines"
    )
    print(
        f"  submit to first execution {first - began:.1f} s, executions {last - first:.1f} s, "
        f"last execution to votes {voted - last:.1f} s"
    )
    print(f"  {cpu_s:.0f} s of CPU in candidates")
    print(f"  processes outside of Slurm: {outside or 'none'}")
    assert {verdict for verdict, _ in votes} == {"accepted"}
    assert executions == distinct
    assert not outside


if __name__ == "__main__":
    main()
