"""Tools in the runtime and the environment that they were validated in, with their packages.

It needs all of hpc_runner, where sandbox.py needs a part; so it is loaded only when it is used.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpc_runner.config import PolicyConfig, RunConfig
from hpc_runner.export.mcp.calls import Ran
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.model import Candidate, Stdio, StdioCase
from hpc_runner.runinfo import RunInfo
from hpc_runner.warm import WarmPool

__all__ = ["Pooled", "as_validated", "as_wanted"]

AT_ONCE = 4


class Pooled:
    """A warm pool, in its first environment."""

    def __init__(self, config: RunConfig) -> None:
        self._pool = WarmPool(config)

    def run(self, program: str, stdin: str, tool: Tool) -> Ran:
        """Raises what ``WarmPool`` raises."""
        case = StdioCase(stdin=stdin, stdout="")
        done = self._pool.execute_sync(
            Candidate(
                task_id=tool.provenance.task_id,
                code=program,
                tests=Stdio(cases=(case,), checker="exact"),
                limits=tool.limits,
                env=tool.env,
                dependencies=tool.dependencies,
            )
        )
        return Ran(done.verdict.value, done.stdout, done.stderr, done.row["exit_code"])

    def close(self) -> None:
        """End its agents."""
        self._pool.close()


def as_validated(info: RunInfo, runtime: str | None = None) -> Pooled:
    """As the candidates of a run were executed, or in another ``runtime``; they have passed its
    policy.  Raises ``ConfigError``."""
    changed = {"runtime": runtime or info.runtime, "slots": AT_ONCE}
    return Pooled(info.config.model_copy(update={**changed, "policy": PolicyConfig(mode="off")}))


def as_wanted(tools: Sequence[Tool], runtime: str, require_isolation: str) -> Pooled:
    """In ``runtime``, and there in the environments that the tools were validated in, where it
    has them under these names.  Raises ``ConfigError``."""
    environments = tuple(one.name for one in tools[0].provenance.environments)
    return Pooled(
        RunConfig.parse(
            {
                "corpus": (),
                "runtime": runtime,
                "environments": environments,
                "require_isolation": require_isolation,
                "slots": AT_ONCE,
                "policy": PolicyConfig(mode="off"),
            }
        )
    )
