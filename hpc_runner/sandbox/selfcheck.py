"""An agent is started once before anything counts on it: in this runtime, image and Python.

What can't be had shows here, in seconds, instead of in every array task.
"""

from __future__ import annotations

import os
import secrets

from hpc_runner.errors import ConfigError, ImageError, IsolationError, RuntimeFailure
from hpc_runner.sandbox.client import Agent, Hello
from hpc_runner.sandbox.local import OLDEST
from hpc_runner.sandbox.spec import AgentSpec, Image, Runtime

__all__ = ["check_agent"]

MEMORY_BYTES = 512 << 20
PROCESSES = 256
START_S = 60.0


def check_agent(
    runtime: Runtime,
    image: Image | None = None,
    *,
    python: str | None = None,
    require: str = "limits",
) -> Hello:
    """Start an agent, hear what it says of itself, and end it.

    The image must be loaded and the pinned one, the Python in it new enough; ``python`` is
    the interpreter of a runtime without images.  Raises ``ConfigError`` where less isolation
    than ``require`` can be had, ``ImageError`` for an image that it isn't, or in which no
    agent starts, and ``RuntimeFailure`` where none starts without an image.
    """
    where = f"image {image.reference}" if image else f"Python {python}" if python else "here"
    if image is not None and not runtime.has_image(image):
        raise ImageError(
            f"{where}: {runtime.name} doesn't have it as sha256:{image.digest.hex()};"
            f" load it: hpc-runner image load {image.name} --runtime {runtime.name}"
        )
    name = f"hpc-runner-check-{os.getpid()}-{secrets.token_hex(4)}"
    spec = AgentSpec(name, 1, require, MEMORY_BYTES, PROCESSES, python, image)
    try:
        agent = Agent(
            runtime.command(spec),
            runtime.environment(),
            kill=lambda: runtime.kill(name),
            start_s=START_S,
        )
    except IsolationError as error:
        raise ConfigError(
            f"{where}, runtime {runtime.name}: {error}; `hpc-runner doctor` says what is missing,"
            " and --require-isolation sets what is required"
        ) from error
    except RuntimeFailure as error:
        reason = f"{where}, runtime {runtime.name}: the agent doesn't start: {error}"
        if "SyntaxError" in str(error):
            reason += f"; its Python is probably older than {_oldest()}"
        raise (ImageError if image is not None else RuntimeFailure)(reason) from error
    agent.close()
    found = tuple(int(part) for part in agent.hello.python.split(".")[:2] if part.isdigit())
    if found < OLDEST:
        reason = f"{where}: its Python is {agent.hello.python}; {_oldest()} or newer is needed"
        raise (ImageError if image is not None else ConfigError)(reason)
    return agent.hello


def _oldest() -> str:
    return ".".join(map(str, OLDEST))
