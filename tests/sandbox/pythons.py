"""Interpreters of this machine, for the tests that need several."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_runner.errors import ConfigError
from hpc_runner.sandbox.local import check_interpreter


def several(count: int = 2) -> list[str]:
    """Paths of so many interpreters of different versions, oldest first; skips the test where
    there are fewer."""
    found: dict[str, str] = {}
    for path in _places():
        try:
            version = check_interpreter(str(path))
        except ConfigError:
            continue
        found.setdefault(".".join(version.split(".")[:2]), str(path))
    if len(found) < count:
        pytest.skip(f"needs {count} Pythons of different versions, found {', '.join(found)}")
    order = sorted(found, key=lambda version: [int(part) for part in version.split(".")])
    return [found[order[n * (len(order) - 1) // max(1, count - 1)]] for n in range(count)]


def _places() -> Iterator[Path]:
    yield Path(getattr(sys, "_base_executable", sys.executable))
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        shims = Path(directory)
        versions = sorted(shims.parent.glob("versions/3.*/bin/python3.[0-9]*"))
        for path in versions if shims.name == "shims" else sorted(shims.glob("python3.[0-9]*")):
            if path.name.removeprefix("python3.").isdigit():
                yield path
