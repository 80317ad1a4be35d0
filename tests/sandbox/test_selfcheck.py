"""An agent is started before a run counts on it; what keeps it from starting is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_runner.errors import ConfigError, ImageError, RuntimeFailure
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.selfcheck import check_agent
from hpc_runner.sandbox.spec import AgentSpec, Availability, Image

IMAGE = Image("old", "hpc-runner-old:000000000000", bytes(32))
HELLO = (
    "import json, sys; print(json.dumps({'op': 'hello', 'agent': '1', 'protocol': %s, 'python':"
    " '%s', 'kernel': 'k', 'host': 'h', 'slots': 1, 'speed': 1.0, 'isolation': 'full',"
    " 'mechanisms': [], 'missing': {}}), flush=True); sys.stdin.read()"
)


class Stage:
    """A runtime with one image, in which a small program stands for the agent."""

    name = "stage"
    needs_image = True

    def __init__(self, program: str, *, loaded: bool = True) -> None:
        self._program = program
        self._loaded = loaded
        self.killed: list[str] = []

    def available(self) -> Availability:
        return Availability(True, "stands")

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        return IMAGE

    def has_image(self, image: Image) -> bool:
        return self._loaded

    def command(self, spec: AgentSpec) -> list[str]:
        return [sys.executable, "-c", self._program]

    def environment(self) -> dict[str, str]:
        return {}

    def kill(self, name: str) -> None:
        self.killed.append(name)


def _hello(python: str) -> str:
    from hpc_runner.sandbox.agent import PROTOCOL

    return HELLO % (PROTOCOL, python)


def test_what_the_agent_says_of_itself_is_returned() -> None:
    hello = check_agent(Stage(_hello("3.12.1")), IMAGE)
    assert (hello.python, hello.isolation) == ("3.12.1", "full")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (_hello("3.7.17"), r"hpc-runner-old:0+: its Python is 3\.7\.17; 3\.8 or newer is needed"),
        ("import sys; sys.exit('no libc')", r"hpc-runner-old:0+, runtime stage: .* no libc"),
        ("if x := : pass", r"SyntaxError.*; its Python is probably older than 3\.8"),
        ("print('hello')", r"the agent said what is no JSON"),
    ],
)
def test_an_image_in_which_no_agent_starts_is_named(program: str, said: str) -> None:
    with pytest.raises(ImageError, match=f"(?s){said}"):
        check_agent(Stage(program), IMAGE)


def test_an_image_that_is_not_the_pinned_one_is_refused() -> None:
    told = r"stage doesn't have it as sha256:0{64}; load it: hpc-runner image load old --runtime st"
    with pytest.raises(ImageError, match=told):
        check_agent(Stage(_hello("3.12.1"), loaded=False), IMAGE)


def test_isolation_that_can_not_be_had_is_a_matter_of_the_options() -> None:
    refusal = _hello("3.12.1").replace("'op'", "'error': 'full is required', 'op'")
    with pytest.raises(ConfigError, match=r"full is required.*--require-isolation"):
        check_agent(Stage(refusal), IMAGE, require="full")


def test_an_agent_that_stays_is_killed_by_the_runtime() -> None:
    stays = "import time; " + _hello("3.12.1").removesuffix("; sys.stdin.read()")
    stage = Stage(stays + "; time.sleep(600)")
    check_agent(stage, IMAGE)
    assert len(stage.killed) == 1


def test_the_interpreter_of_the_local_runtime(tmp_path: Path) -> None:
    local = LocalRuntime()
    version = ".".join(map(str, sys.version_info[:3]))
    assert check_agent(local, python=sys.executable).python == version
    with pytest.raises(RuntimeFailure, match=r"Python /no/python, runtime local: .* can't start"):
        check_agent(local, python="/no/python")


def test_the_real_agent_in_the_real_image(
    docker_engine: DockerRuntime, docker_image: Image
) -> None:
    assert check_agent(docker_engine, docker_image).python.startswith("3.11.")
    other = Image("py311", docker_image.reference, bytes(32))
    with pytest.raises(ImageError, match="doesn't have it as sha256:0000"):
        check_agent(docker_engine, other)
