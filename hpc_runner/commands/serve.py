"""`hpc-runner serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hpc_runner.commands.options import SANDBOX, environment_names, levels, runtimes, size
from hpc_runner.commands.policy_options import (
    AllowEnv,
    PolicyMode,
    PolicyRule,
    Wheelhouse,
    policy_values,
)
from hpc_runner.errors import ConfigError

__all__ = ["SERVE_EPILOG", "serve"]

SERVE_EPILOG = (
    "[bold]Examples[/bold]\n\n"
    "hpc-runner serve\n\n"
    "hpc-runner serve --module numpy --module pandas --wheelhouse wheels\n\n"
    "hpc-runner serve --host 0.0.0.0 --token-file token\n\n"
    "docs/serve.md lists the addresses and what they answer."
)
_REQUESTS = "Requests"


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; all but loopback ones need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0: one that is free.")] = 16000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Require the bearer token that this file holds.",
            show_default="the variable HPC_RUNNER_TOKEN, if it is set",
        ),
    ] = None,
    runs: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the runs are that /v1/runs shows.")
    ] = Path("runs"),
    log_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write combined.log, error.log and http.log there; docs/logs.md."
        ),
    ] = None,
    runtime: Annotated[
        str,
        typer.Option(
            help="What starts the sandbox.", autocompletion=runtimes, rich_help_panel=SANDBOX
        ),
    ] = "auto",
    environments: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What programs run in, with commas between; /run takes the first.",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            help="Interpreter of the local runtime.",
            metavar="PATH",
            show_default="the one hpc-runner runs on",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    require_isolation: Annotated[
        str,
        typer.Option(
            help="Refuse to start with less.", autocompletion=levels, rich_help_panel=SANDBOX
        ),
    ] = "filtered",
    rounds: Annotated[
        int, typer.Option(help="Rounds of /v1/validate.", rich_help_panel=SANDBOX)
    ] = 3,
    slots: Annotated[int, typer.Option(help="Executions at a time.", rich_help_panel=SANDBOX)] = 5,
    run_timeout: Annotated[
        float, typer.Option(help="Seconds for a program of /run.", rich_help_panel=SANDBOX)
    ] = 240.0,
    memory: Annotated[
        str, typer.Option(help="Memory of a program of /run.", rich_help_panel=SANDBOX)
    ] = "256m",
    max_timeout: Annotated[
        float,
        typer.Option(
            help="Seconds that a candidate of /v1/validate may ask for.", rich_help_panel=SANDBOX
        ),
    ] = 600.0,
    max_memory: Annotated[
        str,
        typer.Option(
            help="Memory that a candidate of /v1/validate may ask for.", rich_help_panel=SANDBOX
        ),
    ] = "4g",
    module: Annotated[
        list[str] | None,
        typer.Option(
            help="A package that programs may import, installed before the start. May be repeated.",
            metavar="NAME",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    wheelhouse: Wheelhouse = None,
    policy: PolicyMode = "warn",
    policy_rule: PolicyRule = None,
    allow_env: AllowEnv = None,
    max_body: Annotated[
        str, typer.Option(help="Largest request.", rich_help_panel=_REQUESTS)
    ] = "4m",
    max_requests: Annotated[
        int, typer.Option(help="Requests under way at a time.", rich_help_panel=_REQUESTS)
    ] = 1000,
    requests_per_minute: Annotated[
        float | None,
        typer.Option(help="Of one client.", show_default="no limit", rich_help_panel=_REQUESTS),
    ] = None,
    drain: Annotated[
        int,
        typer.Option(
            help="Seconds that requests under way get at the end.", rich_help_panel=_REQUESTS
        ),
    ] = 30,
) -> None:
    """Serve the sandbox over HTTP: programs in, output or votes out."""
    from pydantic import ValidationError

    from hpc_runner.config import explain
    from hpc_runner.serve.messages import ServeConfig
    from hpc_runner.serve.server import serve as run

    values = policy_values(policy, policy_rule, None, allow_env, wheelhouse)
    try:
        config = ServeConfig.model_validate(
            {
                **values,
                "host": host,
                "port": port,
                "token": _token(token_file),
                "runs": runs,
                "runtime": runtime,
                "environments": environment_names(environments),
                "python": python,
                "require_isolation": require_isolation,
                "rounds": rounds,
                "slots": slots,
                "run_timeout_s": run_timeout,
                "memory_bytes": size(memory),
                "max_wall_s": max_timeout,
                "max_memory_bytes": size(max_memory, "--max-memory"),
                "modules": tuple(module or ()),
                "max_body_bytes": size(max_body, "--max-body"),
                "max_requests": max_requests,
                "requests_per_minute": requests_per_minute,
                "drain_s": drain,
                "log_directory": log_dir,
            }
        )
    except ValidationError as error:
        raise ConfigError(f"serve: {explain(error)}") from None
    run(config)


def _token(path: Path | None) -> str | None:
    if path is None:
        token = os.environ.get("HPC_RUNNER_TOKEN")
        return token.strip() or None if token is not None else None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {path}: can't be read: {error}") from error
    if not token or not token.isascii() or not token.isprintable():
        raise ConfigError(f"--token-file {path}: a token of printable ASCII characters is wanted")
    return token
