"""The floor: a fork of a warm process per program, with no isolation and no results kept.

    python bare_fork.py PROGRAMS.json WORKERS

PROGRAMS.json is a list of Python sources; a program is right when it ends without an
exception within 3 s.  Each line on stdin runs all of them once; the answer is one JSON
line: ``{"seconds": 0.6, "accepted": 164}``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

PRELOADED = (
    "bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "hashlib",
    "heapq", "itertools", "math", "operator", "random", "re", "statistics", "string", "typing",
)  # fmt: skip
INDEX = struct.Struct("<H")


def execute(program: str) -> bool:
    """Whether ``program`` ends well in a fork of this process."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(3)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            exec(compile(program, "program", "exec"), {"__name__": "program"})  # noqa: S102
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def work(programs: list[str], queue: int, answers: int) -> None:
    accepted = 0
    while index := os.read(queue, INDEX.size):
        accepted += execute(programs[INDEX.unpack(index)[0]])
    os.write(answers, INDEX.pack(accepted))


def run_all(programs: list[str], workers: int) -> tuple[float, int]:
    """(seconds, programs accepted).  Workers take the next program from one pipe."""
    started = time.perf_counter()
    queue, feed = os.pipe()
    results, answers = os.pipe()
    os.write(feed, b"".join(INDEX.pack(index) for index in range(len(programs))))
    os.close(feed)
    pids = []
    for _ in range(workers):
        if (pid := os.fork()) == 0:
            work(programs, queue, answers)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    seconds = time.perf_counter() - started
    accepted = sum(INDEX.unpack(os.read(results, INDEX.size))[0] for _ in range(workers))
    for descriptor in (queue, results, answers):
        os.close(descriptor)
    return seconds, accepted


def main() -> None:
    programs = json.loads(Path(sys.argv[1]).read_text())
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for _ in sys.stdin:
        seconds, accepted = run_all(programs, int(sys.argv[2]))
        print(json.dumps({"seconds": seconds, "accepted": accepted}), flush=True)


if __name__ == "__main__":
    main()
