"""Hurts runs on a private cluster in every way of faults_of_a_cluster.py: ``make chaos``.

    campaign.py [--some] [--only WORDS] [--without WORDS] [--json FILE]

``--some``: a dozen faults.  HPC_RUNNER_CHAOS_SEED draws others.  Exit code 0: each run had exactly
one result per (candidate, environment, round), those of a run that nobody disturbed, nothing
was submitted twice, and nothing was left over.

It needs root: everything, mounts included, is in a mount namespace of its own.  What isn't
faked: kills, nodes, the controller, preemption, scancel, the full disk.  What is: no wall clock
can be shifted for a cluster on one machine, so that the times of files are, and the clock of the
coordinator's process; a read-only run directory lets what is open be written on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from clusters import Cluster, started
from disturbed import Disturbed, Outcome, write_corpus
from faults_of_a_cluster import FAULTS, Fault, at_a_moment

from hpc_runner.pipeline.profiles import Profile
from hpc_runner.rundir import RunDir

SEED = "HPC_RUNNER_CHAOS_SEED"
PRIVATE = "HPC_RUNNER_CHAOS_PRIVATE"
A_RUN = 6
"""Faults that are injected into one run."""
CANDIDATES = 96
EVERY_STEP = "the coordinator is killed before a step"
SOME = (
    ("a worker is killed", "scancel of the array", "two coordinators", "times of files jump"),
    ("an agent is killed", "the disk is full", "slurmctld is killed and comes back"),
)
SHARE_OF_SOME = 0.1
KINDS: dict[str, dict[str, object]] = {
    "": {},
    "docker": {"runtime": "docker"},
    "short": {"time": 1, "cpus_per_task": 1},
    "long": {"cpus_per_task": 8},
}
"""Profile of each kind of run."""


@dataclass
class Row:
    """A line of the table."""

    fault: str
    injected: int = 0
    complaints: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """From each fault to the end of its run."""


class Campaign:
    def __init__(self, cluster: Cluster, disk: Path, seed: int) -> None:
        self.cluster, self.disk, self.seed = cluster, disk, seed
        self.rng = random.Random(seed)
        self.rows = {name: Row(name) for name in (EVERY_STEP, *(fault.name for fault in FAULTS))}
        self.corpus = write_corpus(disk.parent / "corpus.jsonl", CANDIDATES)
        self.long_corpus = write_corpus(disk.parent / "long.jsonl", 12, least_s=2.5, most_s=2.6)
        self.expected: dict[Path, Outcome] = {}
        self.number = 0
        self.running: Disturbed | None = None

    def disturbed(
        self, name: str, *, kind: str = "", chain: bool = False, dying: tuple[str, ...] = ()
    ) -> Disturbed:
        self.number += 1
        told: dict[str, object] = {"partition": "lo", "cpus_per_task": 2, "array_parallelism": 4}
        told |= {"time": 10, "runtime": "local", "coordinator": {"memory": "1G", "watch": 2}}
        profile = Profile.model_validate(told | KINDS[kind])
        corpus = self.long_corpus if kind in ("short", "long") else self.corpus
        say(f"run {self.number}: {name}{' (coordinators are jobs)' if chain else ''}")
        run = RunDir(self.disk / f"r{self.number}")
        self.running = Disturbed(self.cluster, run, corpus, profile, chain=chain, dying=dying)
        return self.running

    def end(self) -> None:
        """No process of the last run is left, however the campaign ended."""
        if self.running is not None and self.running.coordinator is not None:
            self.running.coordinator.kill()
            self.running.coordinator.wait()

    def finish(self, run: Disturbed) -> list[str]:
        run.wait()
        found = run.complaints(self.expected[run.corpus])
        for line in found:
            say(f"  WRONG: {line}")
        if found:
            kept = self.disk.parent / f"kept-{run.run.root.name}"
            shutil.copytree(run.run.root, kept, ignore_dangling_symlinks=True)
            shutil.copy(run.log, kept / "victim.log") if run.log.exists() else None
        self.cluster.run("scancel", "--user=root")
        self.cluster.wait_for(lambda: not self.cluster.run("squeue", "-h"), 180)
        shutil.rmtree(run.run.root, ignore_errors=True)
        return found

    def undisturbed(self, kind: str = "") -> None:
        run = self.disturbed("undisturbed", kind=kind)
        run.wait()
        complaints = run.complaints(None)
        assert not complaints, complaints
        self.expected[run.corpus] = rows, votes = run.outcome()
        assert (
            len(votes) == len({key[0] for key in rows}) == len(run.corpus.read_text().splitlines())
        )
        assert set(rows.values()) == {"accepted", "wrong_answer", "runtime_error", "compile_error"}
        self.finish(run)

    def every_step(self, share: float) -> None:
        seen = self.disk.parent / "seen"
        seen.write_text("")
        dying = ("--die", str(seen), "--share", str(share), "--seed", str(self.seed))
        began = time.monotonic()
        run = self.disturbed(EVERY_STEP, dying=dying)
        complaints = self.finish(run)
        row = self.rows[EVERY_STEP]
        row.injected = run.log.read_text().count(" killed\n")
        row.seconds.append(time.monotonic() - began)
        row.complaints = complaints
        if os.environ.get("HPC_RUNNER_CHAOS_STEPS"):
            print(seen.read_text())

    def disturb(self, faults: list[Fault], *, chain: bool) -> list[Fault]:
        """Inject them into one run; those that came too late are returned."""
        kind = faults[0].kind
        run = self.disturbed(", ".join(fault.name for fault in faults), kind=kind, chain=chain)
        times: list[tuple[Fault, float]] = []
        late = []
        for fault in faults:
            began = time.monotonic()
            if at_a_moment(run, self.rng) and fault.inject(run, self.rng):
                times.append((fault, began))
                say(f"  {fault.name}: {run.finished()} shards were finished then")
            else:
                late.append(fault)
        complaints = self.finish(run)
        for fault, began in times:
            row = self.rows[fault.name]
            row.injected += 1
            row.seconds.append(time.monotonic() - began)
            row.complaints += complaints
        say(f"  done after {run.starts} starts of coordinators; {len(late)} faults came too late")
        return late

    def all(self, only: str, without: str | None) -> None:
        if chosen(EVERY_STEP, only, without):
            self.every_step(1.0)
        faults = [fault for fault in FAULTS if chosen(fault.name, only, without)]
        if (
            not shutil.which("docker")
            or subprocess.run(["docker", "version"], check=False, capture_output=True).returncode
        ):
            say("no container is killed: there is no Docker engine (DOCKER_HOST)")
            faults = [fault for fault in faults if fault.kind != "docker"]
        left = [fault for fault in faults for _ in range(fault.times)]
        self.rng.shuffle(left)
        tries = 3 * len(left)
        while left and tries > 0:
            chain = self.number % 3 == 2
            kind = left[0].kind
            if kind == "short" and self.long_corpus not in self.expected:
                self.undisturbed("long")
            fit = [one for one in left if one.kind == kind and (one.chain or not chain)][:A_RUN]
            if not fit:
                self.number += 1
                continue
            for fault in fit:
                left.remove(fault)
            fit.sort(key=lambda fault: fault.last)
            left += self.disturb(fit, chain=chain)
            tries -= len(fit)

    def some(self) -> None:
        faults = {fault.name: fault for fault in FAULTS}
        for names in SOME:
            self.disturb([faults[name] for name in names], chain=False)

    def table(self) -> str:
        width = max(map(len, self.rows))
        lines = [f"{'fault':{width}}  times  outcome   seconds to the end of the run"]
        for row in self.rows.values():
            if row.injected or row.complaints:
                outcome = "as undisturbed" if not row.complaints else "WRONG"
                mean = sum(row.seconds) / max(1, len(row.seconds))
                lines.append(f"{row.fault:{width}}  {row.injected:5}  {outcome:14}  {mean:5.0f}")
        lines.append(
            f"{sum(row.injected for row in self.rows.values())} faults, {SEED}={self.seed}"
        )
        return "\n".join(lines)


def chosen(name: str, only: str, without: str | None) -> bool:
    return only in name and (without is None or without not in name)


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--some", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--without")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not os.environ.get(PRIVATE):
        os.environ[PRIVATE] = "1"
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvp("unshare", words)  # noqa: S606
    os.environ["HPC_RUNNER_CACHE"] = "off"
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    seed = int(os.environ.get(SEED, "1"))
    say(f"{SEED}={seed}")
    top = Path(tempfile.mkdtemp(prefix="chaos-"))
    wrong = True
    try:
        with small_disk(top / "disk") as disk, started(top / "c", "--set", "SlurmdTimeout=10") as c:
            os.environ["SLURM_CONF"] = c.environment["SLURM_CONF"]
            campaign = Campaign(c, disk, seed)
            try:
                campaign.undisturbed()
                if options.some:
                    campaign.every_step(SHARE_OF_SOME)
                    campaign.some()
                else:
                    campaign.all(options.only, options.without)
            finally:
                campaign.end()
            print(campaign.table())
            rows = [asdict(row) for row in campaign.rows.values()]
            if options.json:
                options.json.write_text(json.dumps(rows))
            wrong = any(row["complaints"] for row in rows)
    finally:
        if wrong:
            print(f"what went wrong is kept in {top}")
        else:
            shutil.rmtree(top)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
