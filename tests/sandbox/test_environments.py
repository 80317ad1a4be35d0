"""Environments by name: what is found, in which order, and what is said of what isn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_runner.config import DEFAULT_IMAGE, RunConfig
from hpc_runner.errors import ConfigError
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.environments import has_interpreter, named
from hpc_runner.sandbox.local import LocalRuntime, base_interpreter, check_interpreter

Install = Callable[..., Path]


def config(*environments: str, **options: Any) -> RunConfig:
    return RunConfig(corpus=("/c",), environments=environments, **options)


def local(*words: str, **options: Any) -> list[tuple[str, str | None]]:
    found = named(config(*words, **options), LocalRuntime())
    assert all(item.image is None and item.python for item in found)
    return [(item.name, item.interpreter) for item in found]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a program that answers as an interpreter does into a directory, which is on PATH
    but for ``hidden`` ones; without a version it fails as a version manager's stub does."""
    monkeypatch.setenv("PATH", "/nowhere")

    def install(where: str, program: str, version: str | None, *, hidden: bool = False) -> Path:
        path = tmp_path / where / program
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = f"echo {version}" if version else "echo not installed >&2; exit 127"
        path.write_text(f"#!/bin/sh\n{answer}\n")
        path.chmod(0o755)
        if not hidden:
            monkeypatch.setenv("PATH", str(path.parent), prepend=":")
        return path

    return install


def test_a_name_is_the_first_interpreter_on_path_that_runs(install: Install) -> None:
    install("c", "python3.9", "3.9.18")
    right = install("b", "python3.9", "3.9.2")
    install("a", "python3.9", None)
    install("other", "python3.9", "3.8.1")  # not what its name says
    twelve = install("b", "python3.12", "3.12.1")
    assert local("py312", "py39") == [("py312", str(twelve)), ("py39", str(right))]


def test_pyenvs_shims_stand_for_the_versions_that_are_installed(install: Install) -> None:
    install("pyenv/shims", "python3.9", None)
    install("pyenv/versions/3.9.9/bin", "python3.9", "3.9.9", hidden=True)
    newest = install("pyenv/versions/3.9.18/bin", "python3.9", "3.9.18", hidden=True)
    install("pyenv/versions/mine/bin", "python3.9", "3.9.19", hidden=True)
    assert local("py39") == [("py39", str(newest))]


def test_a_path_is_named_by_its_version(install: Install) -> None:
    path = install("opt", "mine", "3.13.0", hidden=True)
    assert local(str(path)) == [("py313", str(path))]
    assert has_interpreter(config(str(path))) and not has_interpreter(config("py313"))


def test_not_told_it_is_our_own_or_the_one_of_the_option(install: Install) -> None:
    path = install("opt", "mine", "3.10.1")
    version = check_interpreter(base_interpreter()).split(".")
    assert local() == [(f"py{version[0]}{version[1]}", base_interpreter())]
    assert local(python="mine") == local(python=str(path)) == [("py310", str(path))]
    with pytest.raises(ConfigError, match="'absent' can't be started"):
        local(python="absent")


def test_what_is_not_there_is_said_with_what_there_is(install: Install) -> None:
    install("a", "python3.12", "3.12.1")
    install("a", "python3.9", "3.9.1")
    install("a", "python3.10", None)
    install("a", "python3.7", "3.7.1")
    with pytest.raises(ConfigError, match=r"no python3\.10 on PATH that runs; there are py39, py3"):
        local("py310")
    with pytest.raises(ConfigError, match=r"'pypy' is neither .*; there are py39, py312"):
        local("pypy")
    with pytest.raises(ConfigError, match="py37 is too old; py38 is the oldest"):
        local("py37")
    with pytest.raises(ConfigError, match="/nowhere/python"):
        local("/nowhere/python")


def test_where_there_is_none_a_path_is_asked_for(install: Install) -> None:
    with pytest.raises(ConfigError, match="there is none: give the path of one"):
        local("py311")


def test_an_environment_is_named_once(install: Install) -> None:
    path = install("a", "python3.12", "3.12.1")
    with pytest.raises(ConfigError, match=r"py312 and /.*/python3\.12 are both py312"):
        local("py312", str(path))
    with pytest.raises(ConfigError, match="both py312"):
        local("py312", "py312")
    with pytest.raises(ConfigError, match="--python and --environments"):
        local("py312", python=str(path))


def test_with_images_a_name_is_a_recipe() -> None:
    docker = DockerRuntime()
    assert [item.name for item in named(config(), docker)] == [DEFAULT_IMAGE]
    assert [item.name for item in named(config(DEFAULT_IMAGE), docker)] == [DEFAULT_IMAGE]
    with pytest.raises(ConfigError, match=f"--environments: .*'py2'.*there are .*{DEFAULT_IMAGE}"):
        named(config("py2"), docker)
    with pytest.raises(ConfigError, match="both"):
        named(config(DEFAULT_IMAGE, DEFAULT_IMAGE), docker)
    with pytest.raises(ConfigError, match="--python is for the local runtime"):
        named(config(python="python3"), docker)
