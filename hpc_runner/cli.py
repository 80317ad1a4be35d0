"""The command line.  Commands import what they need when they run, so that help is fast."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hpc_runner import __version__
from hpc_runner.errors import ConfigError, HpcRunnerError
from hpc_runner.policy_options import (
    AllowDependency,
    AllowEnv,
    JudgeMode,
    PolicyMode,
    PolicyRule,
    Suspicious,
    Wheelhouse,
    policy_values,
)  # fmt: skip

if TYPE_CHECKING:
    from hpc_runner.rundir import RunDir

__all__ = ["app", "main"]

STOPPED = 130
"""Exit code of a run that a signal or `cancel` stopped."""

app = typer.Typer(
    name="hpc-runner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_JUDGING, _SANDBOX, _WORK = "What is run, and how often", "Sandbox", "Work and output"

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def _formats() -> list[str]:
    from hpc_runner.config import FORMATS

    return ["auto", *FORMATS]


def _runtimes() -> list[str]:
    from hpc_runner.sandbox.runtimes import RUNTIMES

    return ["auto", *RUNTIMES]


def _levels() -> list[str]:
    return ["limits", "filtered", "full"]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"hpc-runner {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[
        bool, typer.Option("--debug", help="Print a traceback when something fails.")
    ] = False,
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


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "hpc-runner run example\n\n"
    "hpc-runner run HumanEval.jsonl.gz --rounds 5 --out runs/humaneval\n\n"
    "hpc-runner run problems.jsonl samples.jsonl --timeout 3 --memory 512m\n\n"
    "hpc-runner run corpus.parquet --dry-run\n\n"
    "Repeating the command with the same --out goes on where it stopped. "
    "Exit code: 0 the run is complete, 1 trouble of ours, 2 a mistake in the command or the "
    "corpus, 130 stopped."
)
def run(
    corpus: Annotated[
        Path,
        typer.Argument(
            metavar="CORPUS",
            help=".jsonl, .jsonl.gz, .jsonl.zst, Parquet, or a folder of source files; "
            "'example' is a small corpus that comes with the package.",
        ),
    ],
    samples: Annotated[
        Path | None,
        typer.Argument(metavar="SAMPLES", help="Programs for the corpus's tasks (by task_id)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run's directory.", show_default="runs/CORPUS-DATE-TIME"),
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Executions of each candidate.", rich_help_panel=_JUDGING)
    ] = 3,
    threshold: Annotated[
        float,
        typer.Option(help="Share of the rounds that makes a consensus.", rich_help_panel=_JUDGING),
    ] = 0.8,
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="How to read the corpus.", autocompletion=_formats, rich_help_panel=_JUDGING
        ),
    ] = "auto",
    code_field: Annotated[
        str | None,
        typer.Option(
            help="The field that holds the program, where there are several.",
            rich_help_panel=_JUDGING,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Take the first N samples.", rich_help_panel=_JUDGING)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad row.", rich_help_panel=_JUDGING)
    ] = False,
    every_test: Annotated[
        bool,
        typer.Option(
            "--every-test",
            help="Run the tests after the first one that fails, too.",
            rich_help_panel=_JUDGING,
        ),
    ] = False,
    no_early_stop: Annotated[
        bool,
        typer.Option(
            "--no-early-stop",
            help="Run the rounds that can't change an outcome any more, too.",
            rich_help_panel=_JUDGING,
        ),
    ] = False,
    runtime: Annotated[
        str,
        typer.Option(
            help="What runs the sandbox: local, docker, or auto for the best that works here.",
            autocompletion=_runtimes,
            rich_help_panel=_SANDBOX,
        ),
    ] = "auto",
    isolation: Annotated[
        str,
        typer.Option(
            help="'container' starts a container for each execution, 'agent' one per worker.",
            autocompletion=lambda: ["agent", "container"],
            rich_help_panel=_SANDBOX,
        ),
    ] = "agent",
    require_isolation: Annotated[
        str,
        typer.Option(
            help="Refuse to run below this level: limits, filtered, full.",
            autocompletion=_levels,
            rich_help_panel=_SANDBOX,
        ),
    ] = "filtered",
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds for an execution, instead of the corpus's.",
            metavar="S",
            rich_help_panel=_SANDBOX,
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory of an execution, as 256m or 1g, instead of the corpus's.",
            metavar="SIZE",
            rich_help_panel=_SANDBOX,
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            help="Interpreter for the candidates in the local runtime.",
            metavar="PATH",
            rich_help_panel=_SANDBOX,
        ),
    ] = None,
    fresh_interpreter: Annotated[
        bool,
        typer.Option(
            "--fresh-interpreter",
            help="Start Python anew for each execution instead of forking a warm one.",
            rich_help_panel=_SANDBOX,
        ),
    ] = False,
    judge: JudgeMode = "auto",
    suspicious: Suspicious = "flag",
    policy: PolicyMode = "warn",
    policy_rule: PolicyRule = None,
    allow_dependency: AllowDependency = None,
    allow_env: AllowEnv = None,
    wheelhouse: Wheelhouse = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Worker processes.",
            show_default="the cores that are ours",
            rich_help_panel=_WORK,
        ),
    ] = None,
    slots: Annotated[
        int, typer.Option(help="Executions at a time in each worker.", rich_help_panel=_WORK)
    ] = 1,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the plan and leave nothing behind.", rich_help_panel=_WORK
        ),
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Run every program of a corpus several times in a sandbox and vote on the verdicts."""
    from hpc_runner import session
    from hpc_runner.config import RunConfig
    from hpc_runner.machine import cores
    from hpc_runner.rundir import RunDir

    paths = session.corpus_paths(corpus, samples)
    limits = {"wall_s": timeout, "memory_bytes": None if memory is None else _size(memory)}
    config = RunConfig.parse(
        {
            "corpus": tuple(str(path) for path in paths),
            "format": format,
            "code_field": code_field,
            "limit": limit,
            "strict": strict,
            "rounds": rounds,
            "consensus_threshold": threshold,
            "early_stop": not no_early_stop,
            "runtime": runtime,
            "isolation": isolation,
            "require_isolation": require_isolation,
            "python": python,
            "workers": cores().usable if workers is None else workers,
            "slots": slots,
            "fresh_interpreter": fresh_interpreter,
            **{"judge": judge, "suspicious": suspicious},
            "every_test": every_test,
            "limits": limits,
            **policy_values(policy, policy_rule, allow_dependency, allow_env, wheelhouse),
        }
    )
    if dry_run:
        session.show_plan(config)
        return
    target = RunDir((out or session.default_out(paths[0])).absolute())
    session.prepare(target, config)
    _finish(target, config.workers, quiet=quiet)


@app.command(
    epilog="A run that was cancelled or killed, by whatever, goes on where it stopped; "
    "what is finished is not run again."
)
def resume(
    run: RunArgument,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes.", show_default="as planned")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run."""
    from hpc_runner.runinfo import read_info

    target = _open(run)
    planned = read_info(target).config.workers
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: at least 1 (found {workers})")
    _finish(target, workers or planned, quiet=quiet)


@app.command()
def status(
    run: RunArgument,
    json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it every second until the run ends.")
    ] = False,
) -> None:
    """Show how far a run is; also from another machine that sees its directory."""
    from hpc_runner import session

    session.show_status(_open(run), as_json=json, watch=watch)


@app.command()
def report(run: RunArgument, json: JsonOption = False) -> None:
    """Print the summary of a run, of what is finished when it isn't complete."""
    from hpc_runner import session

    session.show_summary(_open(run), as_json=json)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "hpc-runner export runs/humaneval --format humaneval --out results.jsonl\n\n"
    "hpc-runner export runs/humaneval --format parquet --out results.parquet"
)
def export(
    run: RunArgument,
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="humaneval: one line per sample with 'passed' and 'result'; jsonl and parquet: "
            "one row per sample with its vote.",
            autocompletion=lambda: ["humaneval", "jsonl", "parquet"],
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write.", show_default="named after the corpus, here"),
    ] = None,
) -> None:
    """Write a run's results for other programs."""
    from hpc_runner.export.run import EXPORTS, default_name, export_run
    from hpc_runner.runinfo import read_info

    target = _open(run)
    corpus = read_info(target).config.corpus
    path = out or Path(default_name(corpus[-1], format) if format in EXPORTS else format)
    rows = export_run(target, format, path)
    print(f"{rows:,} rows in {path}")


@app.command()
def doctor(json: JsonOption = False) -> None:
    """Probe what this machine can do, and say how to mend what doesn't work."""
    from hpc_runner.doctor import examine, render

    checks = examine()
    print(checks.model_dump_json(indent=2) if json else render(checks))


@app.command()
def cancel(run: RunArgument) -> None:
    """Stop a run; it can be resumed."""
    from hpc_runner.pipeline.coordinator import cancel as stop

    target = _open(run)
    found = stop(target)
    if found is None:
        print(f"Nothing was running. Marked as cancelled; `hpc-runner resume {run}` goes on.")
    elif found.here:
        print(f"Asked {found} to stop; `hpc-runner resume {run}` goes on.")
    else:
        print(f"{found} stops when it sees the mark; `hpc-runner resume {run}` goes on.")


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


def _finish(run: RunDir, workers: int, *, quiet: bool) -> None:
    from hpc_runner import session

    if not session.run_to_end(run, workers, quiet=quiet):
        raise typer.Exit(STOPPED)


def _open(path: Path) -> RunDir:
    from hpc_runner.rundir import RunDir

    return RunDir(path.absolute())


def _size(text: str) -> int:
    """Bytes: 268435456, 256m, 256M, 256MiB and 1.5g are understood."""
    units = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        return int(float(number.removesuffix(unit)) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise ConfigError(f"--memory: a size such as 256m or 1g (found {text!r})") from None
