"""A pool of warm agents, and whether this machine has a language."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from hpc_runner.sandbox.libraries import missing_tools, prepare
from hpc_runner.warm import WarmPool


@pytest.fixture(scope="session")
def pool() -> Iterator[WarmPool]:
    with WarmPool(runtime="local", slots=2) as made:
        yield made


@pytest.fixture(scope="session")
def available() -> Callable[[str], None]:
    """Skips a test where a language's tools are missing, which CI installs."""
    known: dict[str, str] = {}

    def check(language: str) -> None:
        if language not in known:
            missing = missing_tools(language)
            known[language] = f"{language} needs {', '.join(missing)}" if missing else ""
            if not missing:
                prepare([language], print)
        if known[language]:
            if os.environ.get("CI") == "true":
                pytest.fail(known[language], pytrace=False)
            pytest.skip(known[language])

    return check
