"""`hpc-runner diff`: what changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpc_runner.commands.options import JsonOption, open_run

__all__ = ["DIFF_EPILOG", "WORSE", "diff"]

WORSE = 1
"""Exit code when something got worse."""

DIFF_EPILOG = (
    "Exit code: 0 nothing got worse, 1 there are new failures or candidates that are flaky now, "
    "2 a mistake in the command."
)
_SHOWN = 20
_TITLES = {
    "new_failures": "New failures",
    "now_flaky": "Flaky now",
    "fixed": "Fixed",
    "no_longer_flaky": "Not flaky any more",
    "changed": "Fail otherwise",
    "added": "Added",
    "removed": "Removed",
}


def diff(
    before: Annotated[Path, typer.Argument(metavar="RUN_A", help="The older run.")],
    after: Annotated[Path, typer.Argument(metavar="RUN_B", help="The newer run.")],
    json: JsonOption = False,
) -> None:
    """Show what changed between two runs of a corpus; exit code 1 when something got worse."""
    from hpc_runner.results.diff import compare

    found = compare(open_run(before), open_run(after))
    if json:
        print(found.model_dump_json(indent=2))
    else:
        print(f"{found.candidates:,} candidates in both runs, {found.same:,} came out alike")
        for kind, title in _TITLES.items():
            changes = getattr(found, kind)
            if not changes:
                continue
            print(f"\n{title}: {len(changes):,}")
            for change in changes[:_SHOWN]:
                states = [state for state in (change.before, change.after) if state is not None]
                print(f"  {change.task_id} sample {change.sample}: {' → '.join(states)}")
            if len(changes) > _SHOWN:
                print(f"  and {len(changes) - _SHOWN:,} more; --json gives all")
    if found.worse:
        raise typer.Exit(WORSE)
