"""Serves the application until it is told to end, and lets what is under way end first."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
from contextlib import nullcontext
from typing import Any

from hpc_runner.errors import ConfigError
from hpc_runner.logs import open_logs
from hpc_runner.serve.guard import is_loopback
from hpc_runner.serve.messages import ServeConfig

__all__ = ["serve"]


def serve(config: ServeConfig) -> None:
    """Returns after SIGTERM or SIGINT, when all requests are answered, or ``drain_s`` later.

    Raises ``ConfigError`` for an address that may not be served without a token, for one that is
    taken, and where Starlette or uvicorn is missing; and what the runtime raises.
    """
    if config.token is None and not is_loopback(config.host):
        raise ConfigError(
            f"--host {config.host} is not a loopback address: whoever reaches it may run programs"
            " here. Give a token by --token-file or HPC_RUNNER_TOKEN"
        )
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"`serve` needs {package}: pip install 'hpc-runner[serve]'")
    import uvicorn

    from hpc_runner.serve.app import Service, make_app

    logs = nullcontext() if config.log_directory is None else open_logs(config.log_directory)
    with logs:
        listening = _listening(config)
        service = Service(config)
        service.open()
        _answer(uvicorn, config, make_app(service), listening)


def _answer(uvicorn: Any, config: ServeConfig, app: Any, listening: socket.socket) -> None:
    settings = uvicorn.Config(
        app,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=config.drain_s,
        timeout_keep_alive=20,
    )
    host, port = listening.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    print(f"hpc-runner: serving on http://{where}:{port}", file=sys.stderr, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _handled)
    uvicorn.Server(settings).run(sockets=[listening])


def _handled(number: int, frame: object) -> None:
    """uvicorn takes signals while it runs and raises them again afterwards: nothing is left to
    be done about them then."""


def _listening(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"--host {config.host} --port {config.port}: can't be listened on: {error.strerror}"
        ) from error
