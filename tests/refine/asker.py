"""A coordinator that refines, with stand-in workers and a model that writes down what it is paid
for: ``asker.py RUN PAID``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from drive import standin_command

from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.refine.engine import Engine
from hpc_runner.refine.refiner import Finish, Question, Reply, Usage
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

BETTER = {"wrong_answer": "runtime_error", "runtime_error": "accepted"}
"""What the stand-in takes for the verdict, before and after a refinement."""


class Billing:
    """``"wrong_answer 7"`` becomes ``"runtime_error 7"``, and that ``"accepted 7"``; each answer is
    paid for, that is, written to a file, before it is given."""

    model = "billing"

    def __init__(self, paid: Path) -> None:
        self._paid = paid

    async def ask(self, question: Question) -> Reply:
        await asyncio.sleep(0.03)
        with self._paid.open("a") as file:
            file.write(f"{question.key} {os.getpid()}\n")
        await asyncio.sleep(0.01)
        word, _, rest = question.code.partition(" ")
        text = json.dumps({"explanation": "", "code": f"{BETTER[word]} {rest}"})
        return Reply(text, Finish.STOP, self.model, Usage(10, 0, 10, 0.5), 0.04, 1)

    async def close(self) -> None:
        """Nothing to give back."""


def main() -> int:
    run = RunDir(Path(sys.argv[1]))
    config = read_info(run).config.refine
    engine = Engine(run, config, Billing(Path(sys.argv[2])), print)
    try:
        state = run_to_end(
            run,
            LocalScheduler(2, command=standin_command),
            on_change=lambda _: None,
            say=print,
            opener=engine,
            patience=Patience(backoff_s=0.01),
        )
    finally:
        engine.close()
    return 0 if state.phase == "done" else 130


if __name__ == "__main__":
    sys.exit(main())
