"""A service that is started as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., "Service"]


class Service:
    """``hpc-runner serve`` with these options on a free port."""

    def __init__(self, checkout: Path, *options: str, **variables: str) -> None:
        words = ["serve", "--port", "0", "--runtime", "local", "--require-isolation", "limits"]
        environment = {**os.environ, "PYTHONPATH": str(checkout), **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpc_runner", *words, *options],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"serving on (http://\S+)", line)
        assert found is not None, line + self.process.stderr.read()
        self.url = found[1]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        assert "Traceback" not in said, said
        return self.process.returncode


@pytest.fixture(scope="session")
def start(checkout: Path) -> Iterator[Start]:
    begun: list[Service] = []

    def started(*options: str, **variables: Any) -> Service:
        begun.append(Service(checkout, *options, **variables))
        return begun[-1]

    yield started
    for service in begun:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


@pytest.fixture(scope="session")
def service(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Service:
    runs = tmp_path_factory.mktemp("served") / "runs"
    return start("--slots", "2", "--run-timeout", "1", "--max-body", "200k", "--runs", str(runs))
