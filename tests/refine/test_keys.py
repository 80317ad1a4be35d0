"""Where the key comes from, and that it doesn't get out."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_runner.errors import ConfigError, KeyMissing
from hpc_runner.refine.factory import make_refiner
from hpc_runner.refine.keys import Secret, read_key
from hpc_runner.refine.refiner import ModelSpec

KEY = "sk-or-0123456789"


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("openrouter", "OPENROUTER_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")],
)
def test_each_provider_has_its_variable(provider: str, variable: str) -> None:
    found = read_key(provider, None, {variable: f" {KEY}\n"})
    assert found is not None and found.reveal() == KEY
    with pytest.raises(KeyMissing, match=f"{variable} is not set"):
        read_key(provider, None, {"OTHER": KEY, variable: ""})


@pytest.mark.parametrize("provider", ["bedrock", "vertex_ai"])
def test_clients_that_find_their_credentials_need_no_key(provider: str) -> None:
    assert read_key(provider, None, {}) is None


def test_a_file_wins_over_the_environment(tmp_path: Path) -> None:
    path = key_file(tmp_path, KEY + "\n")
    found = read_key("openrouter", path, {"OPENROUTER_API_KEY": "sk-of-the-environment"})
    assert found is not None and found.reveal() == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "shorter than"),
        ("sk-or", "shorter than"),
        ("two words of a key", "one word on one line"),
        ("sk-0123456789\nsk-9876543210", "one word on one line"),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str, said: str) -> None:
    path = key_file(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_key("openrouter", path, {})
    assert str(path) in str(caught.value) and (not text or text not in str(caught.value))


def test_files_that_cannot_be_a_key_are_told_from_missing_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_key("openrouter", tmp_path / "none", {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(ConfigError, match="not plain ASCII"):
        read_key("openrouter", tmp_path / "binary", {})


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chmod 600"):
        read_key("openrouter", key_file(tmp_path, KEY, 0o644), {})


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(KEY)
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), repr(vars(type(secret)))):
        assert KEY not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.copy(secret)
    assert secret.hide_in(f"wrong key {KEY}.") == "wrong key [key]."


def test_without_a_key_no_refiner_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    with pytest.raises(KeyMissing, match="OPENROUTER_API_KEY is not set"):
        make_refiner(ModelSpec())
    with pytest.raises(ConfigError, match="not a Claude") as caught:
        make_refiner(ModelSpec(name="gpt-5"))
    assert not isinstance(caught.value, KeyMissing)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    assert make_refiner(ModelSpec()).model == "openrouter/anthropic/claude-sonnet-4"


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("bedrock/us.anthropic.claude-sonnet-4-6", "boto3"),
        ("vertex_ai/claude-sonnet-4-6", "google.auth"),
    ],
)
def test_a_provider_whose_client_is_not_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs the package {package}"):
        make_refiner(ModelSpec(name=name))


def test_litellm_is_loaded_by_a_question_alone(tmp_path: Path) -> None:
    """It takes seconds: not when a refiner is made, and not when a script answers."""
    script = tmp_path / "script.jsonl"
    script.write_text('{"answer": "x"}\n')
    code = f"""
import asyncio, os, sys
import hpc_runner.cli
from hpc_runner.refine.factory import make_refiner
from hpc_runner.refine.refiner import ModelSpec, Question
os.environ["OPENROUTER_API_KEY"] = {KEY!r}
asyncio.run(make_refiner(ModelSpec()).close())
question = Question("k", (), (), {{}}, "t", "c", 1, "s", "v")
print(asyncio.run(make_refiner(ModelSpec(name="scripted:{script}")).ask(question)).text)
print(sorted({{"litellm", "openai", "httpx", "aiohttp"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "x\n[]\n"
