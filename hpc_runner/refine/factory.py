"""From a model's name to what answers: the one place where a refiner is made."""

from __future__ import annotations

from pathlib import Path

from hpc_runner.errors import ConfigError
from hpc_runner.refine.refiner import ModelSpec, Refiner
from hpc_runner.refine.scripted import PREFIX, ScriptedRefiner


def make_refiner(spec: ModelSpec) -> Refiner:
    """The refiner that ``spec`` describes.  Sends nothing.

    Raises ``ConfigError`` for a model that can't be asked, and its subclass ``KeyMissing`` when
    all that is missing is the provider's key.
    """
    if spec.name.startswith(PREFIX):
        return ScriptedRefiner.load(Path(spec.name.removeprefix(PREFIX)))
    raise ConfigError(f"--model {spec.name}: expected {PREFIX}FILE")
