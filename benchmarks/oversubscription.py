"""Whether a verdict changes when a node is much too busy.

    python benchmarks/oversubscription.py [--rounds 10] [--slots N] [--busy 2]

HumanEval's canonical solutions and programs that come close to their limits are judged once
in quiet, one at a time, and then in rounds with four slots for each core and busy loops
beside them.  Printed for each round: how many verdicts differ from the quiet ones, how long
programs stood ready without a CPU, and how much longer they took.  The exit code is 1 when a
single verdict differed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_runner.corpus.readers import Sample, open_corpus
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.spec import AgentSpec

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data" / "HumanEval.jsonl.gz"
Request = dict[str, Any]
Answer = dict[str, Any]

BURN = """
import time
def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(2000))
"""
CLOSE: dict[str, tuple[str, str]] = {
    "60 % of its CPU limit": (f"{BURN}\nburn(0.6)", "accepted"),
    "60 % in three threads": (
        f"{BURN}\nimport threading\n"
        "threads = [threading.Thread(target=burn, args=(0.2,)) for _ in range(3)]\n"
        "for thread in threads: thread.start()\nfor thread in threads: thread.join()",
        "accepted",
    ),
    "60 % in a child process": (
        f"{BURN}\nimport os\npid = os.fork()\nif not pid:\n    burn(0.6)\n    os._exit(0)\n"
        "os.waitpid(pid, 0)",
        "accepted",
    ),
    "sleeps half of its wall limit": ("import time\ntime.sleep(0.5)", "accepted"),
    "twice its CPU limit": (f"{BURN}\nburn(2.0)", "time_limit"),
    "sleeps longer than its wall limit": ("import time\ntime.sleep(60)", "time_limit"),
    "40 MiB under 64": ("x = bytearray(40 << 20)", "accepted"),
    "90 MiB under 64": ("x = bytearray(90 << 20)\nimport time\ntime.sleep(0.2)", "memory_limit"),
}
"""Programs under a wall limit and a CPU limit of one second, and their verdicts."""


def close_to_limits() -> list[Request]:
    limits = {"wall_s": 1.0, "cpu_s": 1.0, "memory_bytes": 64 << 20}
    return [
        {"op": "run", "id": name, "code": code, "tests": {"kind": "none"}, "limits": limits}
        for name, (code, _) in CLOSE.items()
    ]


def human_eval(path: Path) -> list[Request]:
    samples = [item.candidate for item in open_corpus([path]) if isinstance(item, Sample)]
    return [
        {
            "op": "run",
            "id": candidate.task_id,
            "code": candidate.code,
            "tests": candidate.tests.model_dump(mode="json"),
            "limits": candidate.limits.model_dump(mode="json"),
        }
        for candidate in samples
    ]


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that never let go of a CPU."""
    loop = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(count)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


@contextlib.contextmanager
def agent(slots: int) -> Iterator[Agent]:
    runtime = LocalRuntime()
    spec = AgentSpec(
        f"oversubscribed-{os.getpid()}-{slots}",
        slots,
        "limits",
        memory_bytes=1 << 30,
        processes=1024,
    )
    opened = Agent(runtime.command(spec), runtime.environment())
    try:
        yield opened
    finally:
        opened.close()


def judge(opened: Agent, requests: Sequence[Request]) -> dict[str, Answer]:
    """The answers by id; all requests are handed over at once, and the slots stay full."""
    for request in requests:
        opened.submit(request)
    answers: dict[str, Answer] = {}
    while len(answers) < len(requests):
        for answer in opened.answers(60):
            answers[answer["id"]] = answer
    return answers


@dataclass(frozen=True)
class Round:
    """What a round says compared with the quiet one."""

    differing: dict[str, tuple[str, str]]
    """Id → verdict in quiet, and now."""
    waited_s: float
    """The longest of any program."""
    stretch: float
    """Median over the programs of wall time now over wall time in quiet."""
    longest: float
    """The same of the program with the largest ratio."""


def compare(quiet: dict[str, Answer], loaded: dict[str, Answer]) -> Round:
    ratios = [loaded[name]["wall_s"] / quiet[name]["wall_s"] for name in quiet]
    return Round(
        differing={
            name: (quiet[name]["verdict"], loaded[name]["verdict"])
            for name in quiet
            if quiet[name]["verdict"] != loaded[name]["verdict"]
        },
        waited_s=max(answer["waited_s"] for answer in loaded.values()),
        stretch=statistics.median(ratios),
        longest=max(ratios),
    )


def rounds(
    requests: Sequence[Request], count: int, slots: int, busy: int
) -> Iterator[tuple[dict[str, Answer], Round]]:
    """The quiet answers with each round's comparison."""
    with agent(1) as opened:
        quiet = judge(opened, requests)
    with agent(slots) as opened, busy_loops(busy):
        for _ in range(count):
            yield quiet, compare(quiet, judge(opened, requests))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slots", type=int, default=4 * len(os.sched_getaffinity(0)))
    parser.add_argument("--busy", type=int, default=2, help="busy loops beside the agent")
    parser.add_argument("--corpus", type=Path, default=DATA, help="HumanEval.jsonl.gz")
    options = parser.parse_args()
    if not options.corpus.exists():
        parser.error(f"no corpus at {options.corpus}; name HumanEval.jsonl.gz with --corpus")
    # Those that take long come first, so that the others run beside them.
    requests = [*close_to_limits(), *human_eval(options.corpus)]
    cores = len(os.sched_getaffinity(0))
    print(
        f"{len(requests)} programs; {options.slots} slots and {options.busy} busy loops"
        f" on {cores} core{'s' * (cores > 1)}\n"
    )
    print(f"{'round':>5} {'differing':>9} {'waited s':>9} {'wall, median':>13} {'largest':>8}")
    wrong = 0
    for number, (quiet, found) in enumerate(
        rounds(requests, options.rounds, options.slots, options.busy), 1
    ):
        if number == 1:
            missed = [name for name in CLOSE if quiet[name]["verdict"] != CLOSE[name][1]]
            missed += [r["id"] for r in requests if r["id"] not in CLOSE
                       and quiet[r["id"]]["verdict"] != "accepted"]  # fmt: skip
            if missed:
                print(f"wrong in quiet: {', '.join(missed)}")
            wrong += len(missed)
        wrong += len(found.differing)
        print(
            f"{number:5} {len(found.differing):9} {found.waited_s:9.2f} {found.stretch:12.1f}x "
            f"{found.longest:7.1f}x"
        )
        for name, (before, now) in found.differing.items():
            print(f"      {name}: {before} in quiet, {now} now")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
