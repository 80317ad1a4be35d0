"""Throughput of ``hpc_runner.validate`` beside ``hpc-runner run`` on the same work.

    python benchmarks/validate_api.py            # 200 calls of 64 candidates
    python benchmarks/validate_api.py --quick    # 10 calls

A training loop calls ``validate`` with a batch of candidates, again and again; a run gets all
batches as one corpus.  Both have the same slots, rounds and runtime, and no cache.  Machines
drift, so they take turns, a tenth of the work each, and are compared within a turn: what is
printed is the median over the turns of candidates per second, and of the ratio.  Every verdict
is checked.  Exit code 1 when ``validate`` is more than 15 % slower.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hpc_runner import close_pools, validate

TURNS = 10
ALLOWED = 0.85


def candidate(number: int) -> dict[str, Any]:
    """Every third one is wrong, every 16th fails."""
    body = f"return x + {1 + (number % 3 == 2)}" if number % 16 else "return x.nothing"
    cases = [{"args": [n], "expected": n + 1} for n in range(5)]
    return {
        "task_id": f"task {number}",
        "code": f"def f(x):\n    # {number}\n    {body}\n",
        "tests": {"kind": "calls", "entry_point": "f", "cases": cases},
    }


def expected(number: int) -> str:
    if not number % 16:
        return "runtime_error"
    return "wrong_answer" if number % 3 == 2 else "accepted"


def by_validate(calls: list[list[int]], slots: int, rounds: int) -> float:
    """Seconds."""
    began = time.monotonic()
    for batch in calls:
        votes = validate(
            map(candidate, batch),
            slots=slots,
            rounds=rounds,
            runtime="local",
            require_isolation="limits",
        )
        for number, vote in zip(batch, votes, strict=True):
            assert vote.verdict == expected(number), (number, vote)
    return time.monotonic() - began


def by_run(calls: list[list[int]], slots: int, rounds: int) -> float:
    numbers = [number for batch in calls for number in batch]
    with tempfile.TemporaryDirectory() as directory:
        corpus, out = Path(directory, "corpus.jsonl"), Path(directory, "run")
        rows = [json.dumps(candidate(number)) + "\n" for number in numbers]
        corpus.write_text("".join(rows))
        words = ["--runtime", "local", "--require-isolation", "limits", "--cache", "off"]
        words += ["--workers", "1", "--slots", str(slots), "--rounds", str(rounds), "-q"]
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "hpc_runner", "run", str(corpus), "--out", str(out), *words],
            check=True,
            capture_output=True,
        )
        seconds = time.monotonic() - began
        votes = pq.read_table(out / "votes.parquet", columns=["task_id", "verdict"]).to_pylist()
    found = {vote["task_id"]: vote["verdict"] for vote in votes}
    assert found == {f"task {number}": expected(number) for number in numbers}
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=64, help="in each call")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="10 calls")
    options = parser.parse_args()
    calls = 10 if options.quick else options.calls
    turns = min(TURNS, max(1, calls // 10))
    each = calls // turns
    next(validate([candidate(1)], slots=options.slots, rounds=options.rounds, runtime="local",
                  require_isolation="limits"))  # fmt: skip
    rates: dict[str, list[float]] = {"validate": [], "run": []}
    memory = []
    for turn in range(turns):
        size = options.candidates
        first = turn * each * size
        work = [list(range(first + n * size, first + (n + 1) * size)) for n in range(each)]
        ways = [("validate", by_validate), ("run", by_run)]
        for name, way in ways if turn % 2 else reversed(ways):
            rates[name].append(each * size / way(work, options.slots, options.rounds))
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    close_pools()
    ratios = [a / b for a, b in zip(rates["validate"], rates["run"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.slots} slots,")
    print(f"{turns * each} calls of {options.candidates} candidates, {options.rounds} round(s)")
    for name, found in rates.items():
        print(f"{name:10}{statistics.median(found):8.0f} candidates/s")
    print(f"validate / run: {ratio:.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")
    print(f"memory of the caller at most: {memory[0]} MB after the first turn, {memory[-1]} MB")
    sys.exit(0 if ratio >= ALLOWED else 1)


if __name__ == "__main__":
    main()
