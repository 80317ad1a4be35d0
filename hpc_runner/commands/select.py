"""`hpc-runner select`: one candidate for each task, by agreement."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hpc_runner.commands.options import JsonOption, RunArgument, open_run

__all__ = ["SELECT_EPILOG", "select"]

SELECT_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner select runs/untested\n\n"
    "hpc-runner select runs/untested --method inputs --inputs 64\n\n"
    "hpc-runner select runs/guessed-tests --method agreement --truth runs/real-tests"
)


def select(
    run: RunArgument,
    method: Annotated[
        str,
        typer.Option(
            help="behaviour: the largest group that does the same; agreement: candidates and "
            "tests that vouch for each other, after a run with --every-test; inputs: the largest "
            "group whose functions do the same on inputs like those of the tests.",
            autocompletion=lambda: ["behaviour", "agreement", "inputs"],
        ),
    ] = "behaviour",
    inputs: Annotated[
        int, typer.Option(min=1, max=200, help="With --method inputs: how many, given ones first.")
    ] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs that are made.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Programs run at a time.", show_default="one for each CPU"),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="A run of the same samples whose votes say which are right; may be RUN itself.",
            metavar="RUN",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Choose a candidate for each task by what its candidates agree on."""
    from hpc_runner.pipeline.behaviours import select_by_inputs
    from hpc_runner.results.select import select as choose

    known = None if truth is None else open_run(truth)
    if method == "inputs":
        at_a_time = workers or len(os.sched_getaffinity(0))
        found = select_by_inputs(
            open_run(run), inputs, seed, known, workers=at_a_time, progress=_say
        )
    else:
        found = choose(open_run(run), method, known)
    if json:
        print(found.model_dump_json(indent=2))
        return
    for item in found.tasks:
        chosen = "no answer"
        if item.candidate_id is not None:
            chosen = f"sample {item.sample} ({item.candidate_id[:12]})"
        told = {None: "", True: ", right", False: ", wrong"}[item.right]
        print(
            f"{item.task_id}: {chosen}, {item.supporters} of {item.samples} samples agree, "
            f"{item.groups} groups{told}"
        )
    if found.pass_at_1 is not None:
        print(
            f"\npass@1 of the selection {found.pass_at_1:.4f}; "
            f"of a random sample {found.chance_pass_at_1:.4f}, "
            f"of the best choice {found.best_pass_at_1:.4f}"
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr)
