"""The code running tool: one program in, everything that is known of it out.

    code_runner = create_code_running_tool()
    result = await code_runner.validate_and_execute_code(code="print(120)", expected_output="120")
    result["overall_success"], result["final_validation"]["output"]

It is the pipeline for one program at a time: docs/api.md.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from hpc_runner.api.environment import (
    ExecutionEnvironment,
    ResultCache,
    ValidationFramework,
    analysed,
)
from hpc_runner.api.generator import MCPServerGenerator
from hpc_runner.api.refinement import IterativeRefinementEngine
from hpc_runner.api.types import (
    ExecutionContext,
    McpOutcome,
    RefinementOutcome,
    ToolConfig,
    ToolResult,
)
from hpc_runner.corpus.answers import compiles
from hpc_runner.logs import event
from hpc_runner.results import cache_key
from hpc_runner.sandbox.dependencies import distinct

__all__ = ["CodeRunningTool", "create_code_running_tool"]

T = TypeVar("T")

PASSING = ("no_key", "model_busy", "model_unavailable")
"""Reasons of refinement that may be mended a minute later: such results are not remembered."""


def create_code_running_tool(
    config: Mapping[str, Any] | None = None, **options: Any
) -> CodeRunningTool:
    """A tool with the options of ``ToolConfig`` (docs/api.md lists them), given as a mapping, by
    name, or both.  Raises ``ConfigError`` for what isn't an option, or isn't one's value."""
    return CodeRunningTool(ToolConfig.parse({**(config or {}), **options}))


class CodeRunningTool:
    """Validates programs, any number at once, from event loops and threads.

    Agents are started by the first call and stay warm; ``close``, the tool's end as a context,
    or the process's end them.
    """

    def __init__(self, config: ToolConfig | None = None) -> None:
        self.config = config or ToolConfig()
        self.environment = ExecutionEnvironment(self.config)
        self.framework = ValidationFramework(self.environment)
        self.refinement = IterativeRefinementEngine(self.config, self.framework)
        self.generator = MCPServerGenerator(self.config)
        self.cache = ResultCache(self.config.cache_ttl, self.config.cache_size)

    async def validate_and_execute_code(
        self,
        code: str,
        language: str = "python",
        expected_output: str | None = None,
        timeout: float | None = None,
        enable_refinement: bool = False,
        enable_cross_validation: bool = True,
        generate_mcp: bool = False,
        *,
        tests: Any = None,
        dependencies: Sequence[str] = (),
        environment_vars: Mapping[str, str] | None = None,
        resource_limits: Mapping[str, str] | None = None,
        validation_criteria: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ToolResult:
        """Execute a program and judge it, and, if asked to, refine it and make a tool of it.

        ``expected_output``: what it prints; without it, and without ``tests`` (as in a corpus),
        it succeeds when it ends by itself without an error.  ``timeout``: seconds.
        ``enable_cross_validation``: all rounds in all environments, and a vote; without it one
        execution.  ``enable_refinement``: when it isn't accepted a model is asked, which costs
        money; without its key only what needs none is mended.  ``generate_mcp``: what is accepted
        becomes an MCP server.  The others are ``ExecutionContext``'s.

        Raises ``ConfigError`` for what can't be used, ``RuntimeFailure`` and ``DependencyError``
        when the sandbox or a dependency fails: these are never a verdict.
        """
        criteria = dict(validation_criteria or {})
        if tests is not None:
            criteria["tests"] = tests
        limits = {"memory": self.config.memory, "cpu": self.config.cpu, **(resource_limits or {})}
        context = ExecutionContext(
            execution_id=secrets.token_hex(8),
            code=code,
            language=language,
            expected_output=expected_output,
            timeout=self.config.timeout if timeout is None else timeout,
            resource_limits=limits,
            dependencies=list(dependencies),
            environment_vars=dict(environment_vars or {}),
            validation_criteria=criteria,
            metadata=dict(metadata or {}),
        )
        return await self.run(
            context,
            enable_refinement=enable_refinement,
            enable_cross_validation=enable_cross_validation,
            generate_mcp=generate_mcp,
        )

    async def run(
        self,
        context: ExecutionContext,
        *,
        enable_refinement: bool = False,
        enable_cross_validation: bool = True,
        generate_mcp: bool = False,
    ) -> ToolResult:
        """``validate_and_execute_code`` of a context."""
        candidate = replace(context, code=_dedented(context)).candidate()
        wanted = (enable_refinement, enable_cross_validation, generate_mcp)
        key = (
            cache_key.content(candidate, candidate.env),
            distinct(candidate.dependencies),
            wanted,
        )
        known = self.cache.get(key)
        about = {"execution_id": context.execution_id, "candidate": candidate.candidate_id.hex()}
        event("cache", "miss" if known is None else "hit", level="debug", **about)
        if known is not None:
            return replace(known, execution_id=context.execution_id, cached=True)
        vote = await self.framework.judge(candidate, cross_validation=enable_cross_validation)
        first = last = analysed(vote)
        refinement = RefinementOutcome()
        if enable_refinement and vote.accepted:
            refinement.reason = "accepted as it came"
        elif enable_refinement:
            refinement, refined = await self.refinement.refine(
                vote, cross_validation=enable_cross_validation
            )
            if refined.accepted:
                vote, last = refined, analysed(refined)
            event("refinement", refinement.reason.partition(":")[0], **_of(refinement), **about)
        mcp = McpOutcome()
        if generate_mcp:
            mcp = await asyncio.to_thread(
                self.generator.generate,
                vote,
                Path(self.config.mcp_directory).absolute() / context.execution_id,
                refined_by=refinement.model,
            )
            event("mcp", "verified" if mcp.success else "none made", tool=mcp.name, **about)
        event("validation", "judged", **last.statistics, **about)
        result = ToolResult(
            execution_id=context.execution_id,
            overall_success=last.success,
            code=vote.candidate.code,
            initial_validation=first,
            final_validation=last,
            refinement=refinement,
            mcp=mcp,
        )
        if not refinement.reason.startswith(PASSING):
            self.cache.put(key, result)
        return result

    def validate_and_execute_code_sync(self, code: str, **options: Any) -> ToolResult:
        """The same, waited for; also beside a running event loop."""
        return _waited_for(self.validate_and_execute_code(code, **options))

    def run_sync(self, context: ExecutionContext, **options: Any) -> ToolResult:
        """``run``, waited for; also beside a running event loop."""
        return _waited_for(self.run(context, **options))

    def close(self) -> None:
        """End the agents; what is still under way fails with ``RuntimeFailure``.  Idempotent."""
        self.refinement.close()
        self.environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


def _of(refinement: RefinementOutcome) -> dict[str, Any]:
    return {
        "success": refinement.success,
        "iterations": refinement.iterations,
        "strategies": refinement.strategies,
        "model": refinement.model,
        **refinement.usage,
    }


def _dedented(context: ExecutionContext) -> str:
    """A program that is indented as a whole, as one in a string of another program often is: it
    could not be compiled, so that nothing that ran before runs otherwise."""
    from textwrap import dedent

    if context.language.strip().lower() not in ("python", "py", "python3"):
        return context.code
    bare = dedent(context.code).lstrip("\n")
    return bare if compiles(bare) and not compiles(context.code) else context.code


def _waited_for(work: Coroutine[Any, Any, T]) -> T:
    """On a thread of its own, since this one may have an event loop that runs."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(asyncio.run(work))
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=run, name="hpc-runner tool")
    thread.start()
    thread.join()
    return done.result()
