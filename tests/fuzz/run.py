"""Tries every fuzz target in turn and prints a line for each.

    FUZZ_SECONDS=600 python tests/fuzz/run.py

Where atheris is installed, the decoders are fuzzed guided by coverage as well.  The exit
code is 1 when a promise was broken; the smallest example that breaks it is printed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from coverage_guided import DECODERS
from fuzzing import Tried, try_for
from test_fuzz import TARGETS

COVERAGE_GUIDED = Path(__file__).with_name("coverage_guided.py")
LINE = "{:28} {:>9} {:>8} {:>9}"


def guided(name: str, seconds: float) -> Tried:
    """A decoder under atheris, which ends the process when something is raised."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(COVERAGE_GUIDED), name, f"-max_total_time={max(1, round(seconds))}"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    result = Tried(f"{name}, guided", seconds=time.monotonic() - started, failures=[])
    runs = re.findall(r"^#(\d+)", done.stderr, re.MULTILINE)
    result.examples = int(runs[-1]) if runs else 0
    if done.returncode:
        result.failures = [(done.stdout + done.stderr)[-3000:]]
    return result


def show(result: Tried) -> None:
    failures = result.failures or []
    print(LINE.format(result.name, result.examples, f"{result.seconds:.0f}", len(failures)))
    for failure in failures:
        print(failure)
    sys.stdout.flush()


def main() -> int:
    seconds = float(os.environ.get("FUZZ_SECONDS", "600"))
    decoders = list(DECODERS) if importlib.util.find_spec("atheris") else []
    each = seconds / (len(TARGETS) + len(decoders))
    print(LINE.format("target", "examples", "seconds", "failures"))
    broken = False
    for target in TARGETS:
        result = try_for(target, each)
        show(result)
        broken |= bool(result.failures)
    for name in decoders:
        result = guided(name, each)
        show(result)
        broken |= bool(result.failures)
    if not decoders:
        print("guided by coverage: not tried, atheris is not installed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
