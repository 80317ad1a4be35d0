"""A Docker engine and an image in it, for the tests that need them."""

from __future__ import annotations

import os

import pytest

from hpc_runner.errors import ImageError
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.spec import Image


def _absent(reason: str) -> None:
    """Where nobody looks at what was skipped, a missing engine is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker_engine() -> DockerRuntime:
    """The docker runtime, where an engine answers."""
    runtime = DockerRuntime()
    found = runtime.available()
    if not found.ok:
        _absent(f"no Docker engine: {found.reason}; {found.mend}")
    return runtime


@pytest.fixture(scope="session")
def docker_image(docker_engine: DockerRuntime) -> Image:
    """The image "py311", loaded into the engine; built on first use."""
    try:
        image = docker_engine.ensure_image("py311", print)
    except ImageError as error:
        _absent(str(error))
    assert image is not None
    return image
