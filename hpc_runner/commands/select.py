"""`hpc-runner select`: one candidate for each task, by agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpc_runner.commands.options import JsonOption, RunArgument, open_run

__all__ = ["SELECT_EPILOG", "select"]

SELECT_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner select runs/untested\n\n"
    "hpc-runner select runs/guessed-tests --method agreement --truth runs/real-tests"
)


def select(
    run: RunArgument,
    method: Annotated[
        str,
        typer.Option(
            help="behaviour: the largest group that does the same; agreement: candidates and "
            "tests that vouch for each other, after a run with --every-test.",
            autocompletion=lambda: ["behaviour", "agreement"],
        ),
    ] = "behaviour",
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
    from hpc_runner.results.select import select as choose

    found = choose(open_run(run), method, None if truth is None else open_run(truth))
    if json:
        print(found.model_dump_json(indent=2))
        return
    for item in found.tasks:
        chosen = "no answer"
        if item.candidate_id is not None:
            chosen = f"sample {item.sample} ({item.candidate_id[:12]})"
        known = {None: "", True: ", right", False: ", wrong"}[item.right]
        print(
            f"{item.task_id}: {chosen}, {item.supporters} of {item.samples} samples agree, "
            f"{item.groups} groups{known}"
        )
    if found.pass_at_1 is not None:
        print(
            f"\npass@1 of the selection {found.pass_at_1:.4f}; "
            f"of a random sample {found.chance_pass_at_1:.4f}, "
            f"of the best choice {found.best_pass_at_1:.4f}"
        )
