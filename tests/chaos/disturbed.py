"""A run on the test cluster that goes on whatever is done to it, and what has to come of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
from clusters import Cluster

from hpc_runner.config import RunConfig
from hpc_runner.errors import StorageError
from hpc_runner.pipeline.arrays import job_prefix, read_array
from hpc_runner.pipeline.chain import chain_name
from hpc_runner.pipeline.coordinator_job import begin, resume
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

VICTIM = Path(__file__).with_name("victim.py")
PATIENCE_S = 900.0
"""For a whole run, on a machine that has other things to do."""
END_S = 90.0
"""After the run: until nothing of it may be left."""
MOST_STARTS = 60

Rows = dict[tuple[str, str, int], str]
Outcome = tuple[Rows, dict[str, str]]
"""Verdict of each (candidate, environment, round), and vote of each candidate."""


@dataclass
class Disturbed:
    """A run that is coordinated by a process here, or with ``chain`` by Slurm jobs, and that a
    thread sees to the end: a coordinator that has ended too early is followed by another."""

    cluster: Cluster
    run: RunDir
    corpus: Path
    profile: Profile
    chain: bool = False
    dying: tuple[str, ...] = ()
    """The victim's options of this kind."""
    starts: int = 0
    """Times that somebody started or resumed it."""
    trouble: str = ""
    clock_s: float = 0.0
    coordinator: subprocess.Popen[bytes] | None = None
    free: threading.Event = field(default_factory=threading.Event)
    """Not set while the run directory can't be written: then nobody resumes."""

    def __post_init__(self) -> None:
        self.free.set()
        self._over = threading.Event()
        self.where = self.run.root.parent
        self.profile_file = self.where / f"{self.run.root.name}-profile.json"
        self.profile_file.write_text(self.profile.model_dump_json())
        self.log = Path(f"{self.run.root}.log")
        see = self._see_chain if self.chain else self._see_process
        self._thread = threading.Thread(target=self._guarded, args=(see,), daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def wait(self) -> None:
        self._thread.join()

    # -- its coordinator

    def _guarded(self, see: Callable[[float], None]) -> None:
        try:
            see(time.monotonic() + PATIENCE_S)
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            self._over.set()

    def victim(self, *options: str) -> subprocess.Popen[bytes]:
        """One more coordinator."""
        words = [sys.executable, VICTIM, self.corpus, self.run.root, self.profile_file, *options]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                list(map(str, words)),
                env={**self.cluster.environment, "PYTHONPATH": str(VICTIM.parents[2])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _see_process(self, deadline: float) -> None:
        while self.starts < MOST_STARTS:
            self.free.wait()
            self.starts += 1
            options = [*self.dying, *([f"--clock={self.clock_s:g}"] if self.clock_s else [])]
            self.coordinator = self.victim(*options)
            try:
                code = self.coordinator.wait(max(1.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(self.coordinator.pid, signal.SIGKILL)
                self.coordinator.wait()
                self.trouble = f"not done in {PATIENCE_S:.0f} s"
                return
            if code == 0:
                return
            time.sleep(0.2)  # what is broken for good shall not cost a CPU
        self.trouble = f"not done after {MOST_STARTS} coordinators"

    def _see_chain(self, deadline: float) -> None:
        values = {"corpus": (str(self.corpus),), "runtime": self.profile.runtime}
        config = RunConfig.parse({**values, "shard_size": 12, "slots": self.profile.cpus_per_task})
        self.starts = 1
        begin(self.run, config, self.profile)
        while not self.run.summary.exists():
            if time.monotonic() > deadline:
                self.trouble = f"not done in {PATIENCE_S:.0f} s"
                return
            time.sleep(1)
            self.free.wait()
            # Between the two looks an array task may have mended the chain.
            if not self.jobs() and not self.run.summary.exists() and not self.jobs():
                self.starts += 1
                with contextlib.suppress(StorageError):
                    resume(self.run)

    # -- what is seen of it

    def jobs(self, *states: str) -> list[tuple[str, str, str]]:
        """(id, state, node) of what waits or runs, coordinators included."""
        names = [chain_name(self.run)]
        with contextlib.suppress(Exception):
            names.append(job_prefix(read_info(self.run).run_id))
        out = self.cluster.run("squeue", "-hr", "-o", "%i|%T|%N|%j", timeout=120)
        found = [line.split("|") for line in out.splitlines()]
        return [
            (job, state, node)
            for job, state, node, name in found
            if name.startswith(tuple(names)) and (not states or state in states)
        ]

    def array_tasks(self, *states: str) -> list[tuple[str, str, str]]:
        return [job for job in self.jobs(*states) if "_" in job[0]]

    def restarts(self) -> list[int]:
        """How often Slurm has started each array task again."""
        prefix = job_prefix(read_info(self.run).run_id) if self.run.info.exists() else "none"
        command = ("squeue", "-hr", "-t", "all", "--Format=Name:60,RestartCnt:9")
        lines = [line.split() for line in self.cluster.run(*command, timeout=120).splitlines()]
        return [int(line[1]) for line in lines if line[0].startswith(prefix)]

    def coordinators(self, *states: str) -> list[str]:
        return [job[0] for job in self.jobs(*states) if "_" not in job[0]]

    def finished(self) -> int:
        return len(self.run.finished_shards(0))

    def judged(self) -> int:
        """What grows while something is done."""
        return self.finished() + sum(1 for _ in self.run.wave(0).glob("parts/*/*"))

    def workers(self) -> list[int]:
        """Pids of array tasks' processes."""
        folder = f"{self.run.wave(0)}/arrays/"
        return [
            pid
            for pid, words in processes()
            if "submitit.core._submit" in words
            and "python" in Path(words[0]).name
            and any(word.startswith(folder) for word in words)
        ]

    def left_over(self) -> list[str]:
        """Processes that name the run."""
        mine = str(self.run.root)
        return [
            f"{pid} {' '.join(words)[:120]}"
            for pid, words in processes()
            if any(mine == word or f"{mine}/" in word for word in words)
        ]

    # -- what has to come of it

    def outcome(self) -> Outcome:
        rows: Rows = {}
        for _, path in self.run.result_files(0):
            for row in pq.read_table(path).to_pylist():
                key = (row["candidate_id"].hex(), row["environment"], row["round"])
                assert key not in rows, f"two results of {key}"
                rows[key] = str(row["verdict"])
        table = pq.read_table(self.run.votes, columns=["candidate_id", "verdict"])
        votes = {row["candidate_id"].hex(): str(row["verdict"]) for row in table.to_pylist()}
        return rows, votes

    def complaints(self, expected: Outcome | None) -> list[str]:
        """What isn't as it has to be, after the end."""
        if self.trouble or not self.run.summary.exists():
            return [self.trouble or "it has no summary", *self._last_words()]
        found = []
        try:
            rows, votes = self.outcome()
        except Exception as error:
            return [f"its results can't be used: {error}"]
        if expected is not None:
            if rows != expected[0]:
                found.append(f"results differ: {_difference(rows, expected[0])}")
            if votes != expected[1]:
                found.append(f"votes differ: {_difference(votes, expected[1])}")
        return found + self._submitted_twice() + self._still_there()

    def _submitted_twice(self) -> list[str]:
        """What the controller has seen, against what was meant."""
        prefix = job_prefix(read_info(self.run).run_id)
        seen: dict[str, set[str]] = defaultdict(set)
        lines = self.cluster.run("squeue", "-h", "-t", "all", "-o", "%F|%j", timeout=120)
        for line in lines.splitlines():
            job, _, name = line.partition("|")
            if name.startswith(prefix):
                seen[name].add(job)
        found = [f"{name} was submitted as {ids}" for name, ids in seen.items() if len(ids) > 1]
        arrays = [read_array(self.run, *key) for key in self.run.arrays()]
        meant = {array.name for array in arrays}
        found += [f"{name} was submitted, and nobody wrote so" for name in seen.keys() - meant]
        last: dict[int, str] = {}
        for array in arrays:
            for index, shard in enumerate(array.shards):
                if last.get(shard) == "done":
                    found.append(f"shard {shard} was submitted in {array.name} after its end")
                last[shard] = array.endings[index].cause if array.closed else "open"
        return found

    def _still_there(self) -> list[str]:
        deadline = time.monotonic() + END_S
        while (left := self.left_over()) or (jobs := self.jobs()):
            if time.monotonic() > deadline:
                return [f"left over: {left or jobs}"]
            time.sleep(0.3)
        return []

    def _last_words(self) -> list[str]:
        found = []
        for path in (
            self.log,
            self.run.coordinator_log,
            *sorted(self.run.root.glob("waves/*/logs/*")),
        ):
            with contextlib.suppress(OSError):
                found += [f"{path.name}: {line}" for line in path.read_text().splitlines()[-4:]]
        return found[:40]


def _difference(found: object, expected: object) -> str:
    assert isinstance(found, dict)
    assert isinstance(expected, dict)
    missing, more = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = {
        key: (found[key], expected[key])
        for key in found.keys() & expected.keys()
        if found[key] != expected[key]
    }
    return f"{len(missing)} missing, {len(more)} more, other: {dict(list(other.items())[:5])}"


def processes() -> Iterator[tuple[int, list[str]]]:
    """Pid and command line of each."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            yield int(process.name), words


def children(parents: list[int]) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in parents:
                found.append(int(process.name))
    return found


def write_corpus(path: Path, candidates: int, least_s: float = 0.05, most_s: float = 0.3) -> Path:
    """Programs that take ``least_s`` to ``most_s``, of each verdict that no load changes."""
    ends = ("print({n})", "print({n})", "print({n})", "print('no')", "raise SystemExit({n})", "1 +")
    with path.open("w") as file:
        for n in range(candidates):
            seconds = least_s + (most_s - least_s) * (n * 7 % candidates) / candidates
            code = f"import time\ntime.sleep({seconds:.3f})\n{ends[n % len(ends)].format(n=n)}"
            cases = [{"stdin": "", "stdout": f"{n}\n"}]
            tests = {"kind": "stdio", "cases": cases}
            file.write(json.dumps({"task_id": f"t/{n}", "code": code, "tests": tests}) + "\n")
    return path
