"""What Slurm costs a run: time before and after it, CPUs that don't compute, calls of its commands.

    python benchmarks/slurm_overhead.py             # some minutes, as root, with Slurm installed
    python benchmarks/slurm_overhead.py --quick

On a private cluster (slurm/testcluster) that is started and ended here, whose nodes have together
as many CPUs as the machine has cores.  Two kinds of programs, ``busy`` (each computes for half a
second) and ``HumanEval`` (some milliseconds each), each by both ways of coordinating: ``run``, in
the foreground, and ``submit``, by Slurm jobs alone.  Then one run of many small array tasks, for
the calls of Slurm's commands; a wrapper of each on PATH counts them, in jobs too.

Seconds are the wall clock's.  An array task has its CPUs from the first line of its job script
to the last.  ``without others`` leaves out of that the time that executions were ready to run and
had no CPU (``waited_s``), because other programs of the machine had it.  What is *computed* and
not measured says so.  Exit code 1: an execution was not accepted, so that the figures mean nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc_runner.rundir import RunDir

ROOT = Path(__file__).resolve().parents[1]
TESTCLUSTER = ROOT / "slurm" / "testcluster"
HUMAN_EVAL = ROOT.parent / "shared" / "data" / "HumanEval.jsonl.gz"
COMMANDS = ("sbatch", "squeue", "scontrol", "scancel", "sacct", "srun")
ROUNDS = 3
BUSY_S = 0.5
HUMAN_EVAL_S = 0.02
"""Seconds that an execution is taken to need when shards are cut."""
AIM_S = 300.0
"""The length of shards that the last column is computed for."""
BUSY = """\
import time
while time.process_time() < {seconds}:
    sum(range(1000))
print({number})
"""


@dataclass(frozen=True)
class Site:
    """A cluster to run on, and what is written about its jobs."""

    root: Path
    cpus: int
    """Of a node; there are two."""
    environment: Mapping[str, str]

    @property
    def calls(self) -> Path:
        return self.root / "calls"

    @property
    def marks(self) -> Path:
        """Lines of array index, ``begin`` or ``end``, and the time."""
        return self.root / "marks"


@dataclass(frozen=True)
class Figures:
    """Of one run.  Shares are of the CPUs that array tasks had, times those that they had them."""

    array_tasks: int
    executions: int
    before_s: float
    """From the command to the first execution."""
    after_s: float
    """From the last execution's end to the votes."""
    length_s: float
    """Of an array task, median; and so are the next two."""
    start_s: float
    """Until its first execution."""
    end_s: float
    """After its last one."""
    used: float
    used_without_others: float
    used_between: float
    """Between a task's first and last execution, without others."""
    calls: Mapping[str, int]

    @property
    def used_in_long_shards(self) -> float:
        fixed_s = self.start_s + self.end_s
        return self.used_between * max(0.0, AIM_S - fixed_s) / AIM_S


@contextmanager
def cluster(cores: int) -> Iterator[Site]:
    """A private cluster of two nodes, and wrappers that count the calls of Slurm's commands."""
    with tempfile.TemporaryDirectory(prefix="slurm-overhead.") as top:
        root, per_node = Path(top), max(1, cores // 2)
        folder = root / "c"
        words = ["--nodes", "2", "--cpus", str(per_node)]
        up = subprocess.run([TESTCLUSTER, "up", folder, *words], capture_output=True, text=True)
        if up.returncode != 0:
            sys.exit(up.stderr.strip())
        try:
            environment = {
                **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))},
                "SLURM_CONF": str(folder / "slurm.conf"),
                "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "HPC_RUNNER_CACHE": "off",
            }
            site = Site(root, per_node, environment)
            _count_calls(site)
            yield site
        finally:
            subprocess.run([TESTCLUSTER, "down", folder], check=True)


def _count_calls(site: Site) -> None:
    (site.root / "bin").mkdir()
    for name in COMMANDS:
        if program := shutil.which(name):
            wrapper = site.root / "bin" / name
            wrapper.write_text(f'#!/bin/sh\necho {name} >> {site.calls}\nexec {program} "$@"\n')
            wrapper.chmod(0o755)


def busy(path: Path, candidates: int, seconds: float = BUSY_S) -> Path:
    """Programs that use so many seconds of CPU."""
    with path.open("w") as out:
        for number in range(candidates):
            tests = {"kind": "stdio", "cases": [{"stdin": "", "stdout": f"{number}\n"}]}
            code = BUSY.format(seconds=seconds, number=number)
            row = {"task_id": f"busy/{number}", "code": code, "tests": tests}
            out.write(json.dumps(row) + "\n")
    return path


def human_eval(path: Path, candidates: int) -> Path:
    """The canonical solutions again and again, each with a comment of its own."""
    with gzip.open(HUMAN_EVAL, "rt", encoding="utf-8") as file:
        problems = [json.loads(line) for line in file]
    with path.open("w") as out:
        for number in range(candidates):
            problem = problems[number % len(problems)]
            code = f"{problem['canonical_solution']}\n# {number // len(problems)}\n"
            out.write(json.dumps({**problem, "canonical_solution": code}) + "\n")
    return path


def run(site: Site, how: str, corpus: Path, shard_size: int, name: str) -> Figures:
    """Have it done, by ``run`` or ``submit``."""
    target = RunDir(site.root / name)
    for path in (site.calls, site.marks):
        path.unlink(missing_ok=True)
    mark = f'echo "${{SLURM_ARRAY_TASK_ID:--1}} %s $(date +%%s.%%N)" >> {site.marks}'
    profile = site.root / "site.toml"
    setup = [mark % "begin", f"trap '{mark % 'end'}' EXIT"]
    profile.write_text(
        f"time = 60\ncpus_per_task = {site.cpus}\nmemory = '1G'\nruntime = 'local'\n"
        f"setup = {json.dumps(setup)}\ncoordinator = {{ memory = '1G' }}\n"
    )
    options = ["--out", target.root, "--profile", profile, "--shard-size", shard_size]
    options += ["--rounds", ROUNDS, "--no-early-stop", "--workers", 256]
    options += ["--cluster", "slurm", "--quiet"] if how == "run" else []
    words = [sys.executable, "-m", "hpc_runner", how, corpus, *options]
    began = time.time()
    done = subprocess.run(
        [str(word) for word in words],
        env=site.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{how} failed: {done.stderr}")
    while not target.summary.exists() or _queue(site):
        time.sleep(0.5)
    return figures(site, target, began)


def _queue(site: Site) -> str:
    """What is queued or runs; asked beside the wrappers."""
    told = subprocess.run(
        [str(shutil.which("squeue")), "-h"],
        env=site.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.strip()


def figures(site: Site, target: RunDir, began: float) -> Figures:
    columns = ["shard", "verdict", "started_at", "wall_s", "cpu_s", "waited_s"]
    tables = [pq.read_table(path, columns=columns) for path in target.results(0).glob("*.parquet")]
    rows = pa.concat_tables([table.unify_dictionaries() for table in tables])
    if set(rows["verdict"].unique().to_pylist()) != {"accepted"}:
        sys.exit(f"not all executions were accepted: {rows['verdict'].value_counts()}")
    by_shard: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_shard[row["shard"]].append(row)
    spans = _spans(site)
    lengths, starts, ends, have_s, between_s = [], [], [], 0.0, 0.0
    for shard, executions in by_shard.items():
        begin, end = spans[shard]
        first = min(row["started_at"] for row in executions).timestamp()
        last = max(row["started_at"] + timedelta(seconds=row["wall_s"]) for row in executions)
        lengths.append(end - begin)
        starts.append(first - begin)
        ends.append(end - last.timestamp())
        have_s += (end - begin) * site.cpus
        between_s += (last.timestamp() - first) * site.cpus
    cpu_s, waited_s = pc.sum(rows["cpu_s"]).as_py(), pc.sum(rows["waited_s"]).as_py()
    first_s = pc.min(rows["started_at"]).as_py().timestamp()
    last_s = max(
        (row["started_at"] + timedelta(seconds=row["wall_s"])).timestamp()
        for executions in by_shard.values()
        for row in executions
    )
    return Figures(
        array_tasks=len(by_shard),
        executions=len(rows),
        before_s=first_s - began,
        after_s=target.votes.stat().st_mtime - last_s,
        length_s=statistics.median(lengths),
        start_s=statistics.median(starts),
        end_s=statistics.median(ends),
        used=cpu_s / have_s,
        used_without_others=cpu_s / (have_s - waited_s),
        used_between=cpu_s / (between_s - waited_s),
        calls=Counter(site.calls.read_text().split()),
    )


def _spans(site: Site) -> dict[int, tuple[float, float]]:
    """When the script of each array task began and ended; an index is a shard here."""
    times: dict[str, dict[int, float]] = {"begin": {}, "end": {}}
    for line in site.marks.read_text().splitlines():
        index, which, at = line.split()
        times[which][int(index)] = float(at)
    return {i: (at, times["end"][i]) for i, at in times["begin"].items() if i >= 0}


def show(name: str, found: Figures) -> None:
    print(
        f"\n{name}: {found.array_tasks} array tasks of {found.length_s:.1f} s, "
        f"{found.executions:,} executions\n"
        f"  {found.before_s:6.1f} s  from the command to the first execution\n"
        f"  {found.after_s:6.1f} s  from the last execution to the votes\n"
        f"  {found.start_s:6.2f} s  of each array task before its first execution (median)\n"
        f"  {found.end_s:6.2f} s  of each array task after its last execution (median)\n"
        f"  {found.used:6.1%}    CPU used on candidates / CPU allocated\n"
        f"  {found.used_without_others:6.1%}    without others\n"
        f"  {found.used_between:6.1%}    between first and last execution, without others\n"
        f"  {found.used_in_long_shards:6.1%}    computed from the last and the fixed seconds: "
        f"in array tasks of {AIM_S:.0f} s",
        flush=True,
    )


def show_calls(name: str, found: Figures) -> None:
    print(f"\n{name}: calls of Slurm's commands for {found.array_tasks} array tasks")
    for command, count in sorted(found.calls.items()):
        each = count * 1000 / found.array_tasks
        print(f"  {command:9} {count:5}    {each:6.0f} for 1,000, if they grow with the number")


def main() -> None:
    commands = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands.add_argument("--seconds", type=float, default=60, help="that a shard takes (60)")
    commands.add_argument("--shards", type=int, default=4, help="of each run (4)")
    commands.add_argument("--tasks", type=int, default=100, help="array tasks for the calls (100)")
    commands.add_argument("--quick", action="store_true", help="10 s, 2 shards, 10 array tasks")
    given = commands.parse_args()
    if given.quick:
        given.seconds, given.shards, given.tasks = 10, 2, 10
    with cluster(os.cpu_count() or 2) as site:
        kinds = {"busy": (busy, BUSY_S), "HumanEval": (human_eval, HUMAN_EVAL_S)}
        for kind, (write, each_s) in kinds.items():
            if kind == "HumanEval" and not HUMAN_EVAL.exists():
                print(f"\n{HUMAN_EVAL} is not here: HumanEval is left out")
                continue
            size = max(1, round(given.seconds * site.cpus / ROUNDS / each_s))
            corpus = write(site.root / f"{kind}.jsonl", size * given.shards)
            for how in ("run", "submit"):
                show(f"{kind}, {how}", run(site, how, corpus, size, f"{kind}-{how}"))
        small = busy(site.root / "small.jsonl", given.tasks, 0.01)
        for how in ("run", "submit"):
            show_calls(f"small, {how}", run(site, how, small, 1, f"small-{how}"))


if __name__ == "__main__":
    main()
