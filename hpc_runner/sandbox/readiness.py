"""What candidates will run in is made ready before any of them does: runtime, images, agents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError
from hpc_runner.runinfo import EnvironmentInfo, ImageInfo
from hpc_runner.sandbox.environments import has_interpreter
from hpc_runner.sandbox.images import image_for, read_recipe
from hpc_runner.sandbox.installer import Target
from hpc_runner.sandbox.libraries import prepare
from hpc_runner.sandbox.local import base_interpreter
from hpc_runner.sandbox.runtimes import Runtime, choose
from hpc_runner.sandbox.selfcheck import check_agent
from hpc_runner.sandbox.toolchains import PYTHON, TOOLCHAINS

__all__ = ["chosen_runtime", "for_languages", "made_ready", "target"]


def chosen_runtime(config: RunConfig) -> tuple[Runtime, str]:
    """The runtime of ``config``, and why it is this one.  Raises ``ConfigError`` for one that
    doesn't work here or can't do what else is asked for."""
    if config.runtime == "auto" and has_interpreter(config):
        runtime, reason = choose("local")
        return runtime, f"an interpreter of this machine was asked for; {reason}"
    runtime, reason = choose(config.runtime, config.environments)
    if config.isolation == "container" and not runtime.needs_image:
        raise ConfigError(
            f"--isolation container needs a runtime with containers, and {runtime.name} has none; "
            "give --runtime docker as well"
        )
    return runtime, reason


def for_languages(
    config: RunConfig,
    runtime: Runtime,
    environments: Sequence[EnvironmentInfo],
    languages: Collection[str],
    progress: Callable[[str], None],
) -> tuple[tuple[EnvironmentInfo, ...], list[str]]:
    """The environments, changed to an image that has these languages where none was asked for,
    and what can't be had of their libraries.

    Raises ``ConfigError`` for an environment that lacks one of them.
    """
    wanted = {language for language in languages if language in TOOLCHAINS}
    if not wanted:
        return tuple(environments), []
    if not runtime.needs_image:
        return tuple(environments), prepare(wanted, progress)
    if not config.environments:
        name = image_for({*languages} & {PYTHON, *TOOLCHAINS})
        return (EnvironmentInfo(name=name),), []
    for environment in environments:
        lacking = wanted - set(read_recipe(environment.name).languages)
        if lacking:
            raise ConfigError(
                f"--environments: image {environment.name} has no {', '.join(sorted(lacking))};"
                f" {image_for(wanted)} has"
            )
    return tuple(environments), []


def made_ready(
    config: RunConfig,
    runtime: Runtime,
    environment: EnvironmentInfo,
    progress: Callable[[str], None],
) -> EnvironmentInfo:
    """With its image, if it has one, after an agent has been started in it.  Raises what
    ``ensure_image`` and ``check_agent`` raise."""
    image = runtime.ensure_image(environment.name, progress)
    interpreter = environment.interpreter
    hello = check_agent(runtime, image, python=interpreter, require=config.require_isolation)
    if image is None:
        return environment
    pinned = ImageInfo(name=image.name, reference=image.reference, digest=image.digest.hex())
    return environment.model_copy(update={"image": pinned, "python": hello.python})


def target(environment: EnvironmentInfo) -> Target:
    """The Python that the candidates run on there; its version is known."""
    assert environment.python is not None
    return Target(
        environment.python,
        environment.interpreter or base_interpreter(),
        image=environment.image is not None,
    )
