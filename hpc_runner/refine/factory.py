"""From a model's name to what answers: the one place where a refiner is made."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from hpc_runner.errors import ConfigError
from hpc_runner.refine.batches import PREFIX as BATCH
from hpc_runner.refine.batches import BatchRefiner
from hpc_runner.refine.claude import ClaudeRefiner
from hpc_runner.refine.keys import read_key
from hpc_runner.refine.models import parse_model
from hpc_runner.refine.refiner import ModelSpec, Refiner
from hpc_runner.refine.scripted import PREFIX, ScriptedRefiner


def to_stderr(line: str) -> None:
    print(f"hpc-runner: {line}", file=sys.stderr, flush=True)


def make_refiner(spec: ModelSpec, *, say: Callable[[str], None] = to_stderr) -> Refiner:
    """The refiner that ``spec`` describes.  Sends nothing, and loads no litellm.

    ``say`` is told what users must know while it asks, such as that a model is gone.  Raises
    ``ConfigError`` for a model that can't be asked, and its subclass ``KeyMissing`` when all
    that is missing is the provider's key.
    """
    if spec.name.startswith(PREFIX):
        return ScriptedRefiner.load(Path(spec.name.removeprefix(PREFIX)))
    if spec.name.startswith(BATCH):
        return _make_batches(spec, say)
    route = parse_model(spec.name)
    key = read_key(route.provider, spec.key_file, os.environ)
    _check_installed("litellm", "pip install 'hpc-runner[llm]'")
    if route.provider == "bedrock":
        _check_installed("boto3", "pip install boto3")
    if route.provider == "vertex_ai":
        _check_installed("google.auth", "pip install google-auth")
    return ClaudeRefiner(spec, route, key, say=say)


def _make_batches(spec: ModelSpec, say: Callable[[str], None]) -> Refiner:
    route = parse_model(spec.name.removeprefix(BATCH))
    key = None
    if route.provider == "anthropic":
        key = read_key(route.provider, spec.key_file, os.environ)
    if key is None:
        raise ConfigError(
            f"--model {spec.name}: only Anthropic's own API takes batches here, and {route} isn't"
            " there; for example batch:anthropic/claude-sonnet-5"
        )
    return BatchRefiner(spec, route, key, say=say)


def _check_installed(package: str, how: str) -> None:
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of the package around it
        found = None
    if found is None:
        raise ConfigError(f"asking this model needs the package {package}: {how}")
