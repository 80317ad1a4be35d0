"""`hpc-runner replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from hpc_runner.commands.options import RunArgument, open_run

__all__ = ["REPLAY_EPILOG", "replay"]

REPLAY_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner replay runs/humaneval 1a2b3c4d --round 2\n\n"
    "hpc-runner replay runs/humaneval HumanEval/12 --sample 3 --round 1 --show-code\n\n"
    "Exit code: 0 the same verdict as recorded, 1 another one, 2 a mistake in the command."
)


def replay(
    run: RunArgument,
    candidate: Annotated[
        str,
        typer.Argument(
            metavar="CANDIDATE", help="The start of a candidate's id in hex, or a task's id."
        ),
    ],
    round: Annotated[  # noqa: A002 - the name of the option
        int, typer.Option(help="Which of its rounds.")
    ],
    environment: Annotated[
        str | None,
        typer.Option(help="Where, if it was run in several.", show_default="the only one"),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Which of the task's samples, from 0.", show_default="the only one"),
    ] = None,
    show_code: Annotated[bool, typer.Option("--show-code", help="Print the program, too.")] = False,
) -> None:
    """Do one execution of a run again, and show all that it writes beside what was recorded."""
    from hpc_runner.replay import Wanted
    from hpc_runner.replay import replay as again
    from hpc_runner.report.replay import render_replay

    done = again(open_run(run), Wanted(candidate, round, environment, sample))
    print(render_replay(done, show_code=show_code))
    if not done.same:
        raise typer.Exit(1)
