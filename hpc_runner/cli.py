"""The command line: its commands come from hpc_runner/commands.

Commands import what they need when they run, so that help is fast.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, NoReturn

import typer

from hpc_runner import __version__
from hpc_runner.commands import cache, cluster, export, image, look, tools
from hpc_runner.commands.diff import DIFF_EPILOG, diff
from hpc_runner.commands.patterns import PATTERNS_EPILOG, patterns
from hpc_runner.commands.query import QUERY_EPILOG, query
from hpc_runner.commands.replay import REPLAY_EPILOG, replay
from hpc_runner.commands.retry import RETRY_EPILOG, retry
from hpc_runner.commands.run import RESUME_EPILOG, RUN_EPILOG, resume, run
from hpc_runner.commands.select import SELECT_EPILOG, select
from hpc_runner.commands.serve import SERVE_EPILOG, serve
from hpc_runner.errors import HpcRunnerError

__all__ = ["app", "main"]

app = typer.Typer(
    name="hpc-runner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"hpc-runner {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[
        bool, typer.Option("--debug", help="Print a traceback when something fails.")
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level",
            envvar="HPC_RUNNER_LOG",
            metavar="debug|info|warning|error",
            help="Print events from this level on to stderr, a line each; docs/logs.md.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Validate generated code in bulk: candidates in, voted verdicts out.

    Start with [bold]hpc-runner run example[/bold]; then look at what this machine
    can do with [bold]hpc-runner doctor[/bold].
    """
    if log_level is not None:
        from hpc_runner.logs import to_terminal

        to_terminal(log_level)


app.command(epilog=RUN_EPILOG)(run)
app.command(epilog=cluster.SUBMIT_EPILOG)(cluster.submit)
app.command(epilog=RESUME_EPILOG)(resume)
app.command(epilog=RETRY_EPILOG)(retry)
app.command()(look.status)
app.command()(look.report)
app.command(epilog=REPLAY_EPILOG)(replay)
app.command(epilog=QUERY_EPILOG)(query)
app.command(epilog=DIFF_EPILOG)(diff)
app.command(epilog=SELECT_EPILOG)(select)
app.command(epilog=SERVE_EPILOG)(serve)
app.command(epilog=PATTERNS_EPILOG)(patterns)
app.command()(look.doctor)
app.command()(look.cancel)
app.command(epilog=cluster.LOGS_EPILOG)(cluster.logs)
app.add_typer(cache.app, name="cache")
app.add_typer(image.app, name="image")
app.add_typer(export.app, name="export")
app.add_typer(tools.app, name="tools")


def main() -> NoReturn:
    """The console script: one clear line on stderr for whatever goes wrong."""
    debug = "--debug" in sys.argv[1:2]
    try:
        app(prog_name="hpc-runner")
    except HpcRunnerError as error:
        if debug:
            traceback.print_exc()
        print(f"hpc-runner: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(
            f"hpc-runner: this is a mistake of ours: {type(error).__name__}: {error}. "
            "Repeat the command as `hpc-runner --debug ...` and report what it prints",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(0)
