"""A coordinator whose workers are the stand-in: ``drive.py RUN WORKERS``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hpc_runner.errors import HpcRunnerError
from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.rundir import RunDir


def standin_command(run: RunDir, wave: int, shard: int) -> list[str]:
    program = str(Path(__file__).with_name("standin.py"))
    where = [str(run.root), str(wave), str(shard)]
    return [sys.executable, program, *where, "--die-with-parent", str(os.getpid())]


def main() -> int:
    run = RunDir(Path(sys.argv[1]))
    scheduler = LocalScheduler(int(sys.argv[2]), command=standin_command)
    try:
        state = run_to_end(
            run, scheduler, on_change=lambda _: None, say=print, patience=Patience(backoff_s=0.01)
        )
    except HpcRunnerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(state.phase)
    return 0 if state.phase == "done" else 130


if __name__ == "__main__":
    sys.exit(main())
