"""Kill a coordinator before any change that it makes to the disk: ``faults.py RUN OUT N...``.

For each N a copy of the planned run is coordinated by a process that is killed (as by kill -9)
before its N-th change of the file system; then by one that is killed before its N/2-th; then
to the end.  What came of it is written to OUT, a line of JSON for each N; N = 0 is a run that
nobody kills, and tells how many changes there are.

The interpreter's audit events are the tracer, so that the product holds no code for this.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from file_cluster import Ending, FileCluster, well
from refining import Refining

from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.failures import Patience
from hpc_runner.results import compact
from hpc_runner.rundir import RunDir

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.utime"}


class Tracer:
    """Counts changes, and kills this process before one of them; not those of workers."""

    def __init__(self, deadly: int) -> None:
        self._deadly = deadly
        self._main = os.getpid()
        self.count = 0
        self.paused = False
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: Sequence[object]) -> None:
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in CHANGES:
            return
        if self.paused:
            return
        self.count += 1
        if self.count == self._deadly:
            os.kill(self._main, signal.SIGKILL)
            time.sleep(60)  # killed here


def coordinate(run: RunDir, deadly: int) -> int:
    """In a process of its own; the changes that it made when it wasn't killed."""
    compact.WORTH_IT = compact.LEAST = 2
    tracer = Tracer(deadly)

    def how(run: RunDir, wave: int, shard: int, before: int) -> Ending:
        tracer.paused = True
        try:
            return well(run, wave, shard, before)
        finally:
            tracer.paused = False

    run_to_end(
        run,
        FileCluster(run, how),
        on_change=lambda _: None,
        say=lambda _: None,
        opener=Refining(),
        patience=Patience(backoff_s=0.0),
    )
    return tracer.count


def in_a_child(run: RunDir, deadly: int) -> int | None:
    """The changes, or None when it was killed."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.write(tell, str(coordinate(run, deadly)).encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
        return None
    assert status == 0, f"the coordinator failed after a death before change {deadly}"
    return int(text)


def main() -> int:
    planned, out, *numbers = sys.argv[1:]
    with Path(out).open("a") as lines:
        for number in map(int, numbers):
            run = RunDir(Path(f"{planned}-{number}"))
            shutil.copytree(planned, run.root)
            deaths = 0
            if number:
                deaths += in_a_child(run, number) is None
                deaths += in_a_child(run, max(1, number // 2)) is None
            changes = in_a_child(run, 0)
            found = {"number": number, "run": str(run.root), "deaths": deaths, "changes": changes}
            lines.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
