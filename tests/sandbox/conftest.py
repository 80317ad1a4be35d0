"""A Docker engine and a Sarus, with an image in each, for the tests that need them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sarus_host

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


@pytest.fixture(scope="session")
def sarus() -> Iterator[sarus_host.SarusHost]:
    """The double, or the real one that HPC_RUNNER_SARUS names, with the image "py311"."""
    try:
        with sarus_host.prepared() as host:
            yield host
    except sarus_host.Unavailable as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def sarus_user(sarus: sarus_host.SarusHost) -> sarus_host.SarusHost:
    """The same Sarus, called by an ordinary user, who has loaded the image."""
    if os.getuid() != 0:
        pytest.skip("only root can start a program as another user")
    host = replace(sarus, prefix=sarus_host.as_user())
    sarus_host.load(host)
    return host


@pytest.fixture(params=["caller", "sarus_user"])
def any_sarus(request: pytest.FixtureRequest, sarus: sarus_host.SarusHost) -> sarus_host.SarusHost:
    """Whoever runs the tests, and an ordinary user."""
    if request.param == "caller":
        return sarus
    chosen: sarus_host.SarusHost = request.getfixturevalue("sarus_user")
    return chosen


@pytest.fixture
def empty_sarus() -> Iterator[sarus_host.SarusHost]:
    """Another double with nothing in it; ``top/etc/sarus.json`` may be written anew."""
    with sarus_host.scratch() as top:
        program = sarus_host.install(top)
        yield sarus_host.SarusHost(program, True, sarus_host.Image("none", "none", bytes(32)), top)


@pytest.fixture(scope="session")
def user_python(sarus_user: sarus_host.SarusHost, checkout: Path) -> list[str]:
    """What begins a Python command of the ordinary user who calls ``sarus_user``."""
    try:
        return sarus_host.python_of_user(checkout)
    except sarus_host.Unavailable as error:
        pytest.skip(str(error))
