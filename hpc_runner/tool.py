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
from typing import Any, Self, TypeVar

from hpc_runner.api.environment import (
    ExecutionEnvironment,
    ResultCache,
    ValidationFramework,
    analysed,
)
from hpc_runner.api.types import ExecutionContext, ToolConfig, ToolResult
from hpc_runner.corpus.answers import compiles
from hpc_runner.results import cache_key
from hpc_runner.sandbox.dependencies import distinct

__all__ = ["CodeRunningTool", "create_code_running_tool"]

T = TypeVar("T")


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
        self.cache = ResultCache(self.config.cache_ttl, self.config.cache_size)

    async def validate_and_execute_code(
        self,
        code: str,
        language: str = "python",
        expected_output: str | None = None,
        timeout: float | None = None,
        enable_cross_validation: bool = True,
        *,
        tests: Any = None,
        dependencies: Sequence[str] = (),
        environment_vars: Mapping[str, str] | None = None,
        resource_limits: Mapping[str, str] | None = None,
        validation_criteria: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ToolResult:
        """Execute a program and judge it.

        ``expected_output``: what it prints; without it, and without ``tests`` (as in a corpus),
        it succeeds when it ends by itself without an error.  ``timeout``: seconds.
        ``enable_cross_validation``: all rounds in all environments, and a vote; without it one
        execution.  The others are ``ExecutionContext``'s.

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
        return await self.run(context, enable_cross_validation=enable_cross_validation)

    async def run(
        self, context: ExecutionContext, *, enable_cross_validation: bool = True
    ) -> ToolResult:
        """``validate_and_execute_code`` of a context."""
        candidate = replace(context, code=_dedented(context)).candidate()
        wanted = (enable_cross_validation,)
        key = (
            cache_key.content(candidate, candidate.env),
            distinct(candidate.dependencies),
            wanted,
        )
        known = self.cache.get(key)
        if known is not None:
            return replace(known, execution_id=context.execution_id, cached=True)
        vote = await self.framework.judge(candidate, cross_validation=enable_cross_validation)
        first = analysed(vote)
        result = ToolResult(
            execution_id=context.execution_id,
            overall_success=first.success,
            code=candidate.code,
            initial_validation=first,
            final_validation=first,
        )
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
        self.environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


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
