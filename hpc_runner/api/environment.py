"""Where the tool executes programs, how it judges them, and what it remembers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from hpc_runner.api.types import ExecutionContext, ToolConfig, ToolResult, ValidationResult
from hpc_runner.config import RunConfig
from hpc_runner.errors import DependencyError, RuntimeFailure
from hpc_runner.executions import Execution, Vote
from hpc_runner.model import Candidate
from hpc_runner.warm import WarmPool

__all__ = [
    "CacheStatistics",
    "ExecutionEnvironment",
    "ResultCache",
    "ValidationFramework",
    "analysed",
]


class ExecutionEnvironment:
    """Secure execution environment: warm agents in the sandbox, shared by all calls.

    ``config``: those options of ``ToolConfig`` that say where and how programs run.  Nothing is
    started before the first execution.  Use it as a context, or call ``close``.
    """

    def __init__(self, config: ToolConfig | None = None) -> None:
        self.config = config or ToolConfig()
        self._pool = WarmPool(_run_config(self.config))

    @property
    def pool(self) -> WarmPool:
        return self._pool

    async def execute(self, context: ExecutionContext) -> Execution:
        """One execution, with all that it printed.  Raises ``ConfigError``, ``RuntimeFailure``,
        ``DependencyError``: the sandbox's trouble is never a verdict."""
        return await self._pool.execute(context.candidate())

    def execute_sync(self, context: ExecutionContext) -> Execution:
        return self._pool.execute_sync(context.candidate())

    async def vote(self, candidate: Candidate, *, once: bool = False) -> Vote:
        """All executions of a candidate, or a single one as a vote.  Raises as ``execute``."""
        return await self._pool.vote(candidate, outputs=True, once=once)

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> ExecutionEnvironment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run_config(config: ToolConfig) -> RunConfig:
    return RunConfig.parse(
        {
            "corpus": (),
            "rounds": config.validation_rounds,
            "environments": config.environments,
            "slots": config.max_concurrent_executions,
            "consensus_threshold": config.consensus_threshold,
            "runtime": config.runtime,
            "python": config.python,
            "require_isolation": config.require_isolation,
            "perturb": config.perturb,
            "policy": config.policy,
            "wheelhouse": config.wheelhouse,
        }
    )


class ValidationFramework:
    """Cross-validation: several rounds in each environment, a vote, and what it is worth.

    The rounds and the vote are the pipeline's (docs/votes.md, docs/perturbation.md).
    """

    def __init__(self, environment: ExecutionEnvironment | None = None) -> None:
        self.environment = environment or ExecutionEnvironment()

    @property
    def validation_rounds(self) -> int:
        return self.environment.config.validation_rounds

    @property
    def consensus_threshold(self) -> float:
        return self.environment.config.consensus_threshold

    async def validate(
        self, context: ExecutionContext, *, cross_validation: bool = True
    ) -> ValidationResult:
        """Judge a program by all rounds in all environments, or by one execution.

        Raises ``ConfigError`` for a context that can't be used, ``DependencyError`` or
        ``RuntimeFailure`` when nothing could be judged.
        """
        return analysed(await self.judge(context.candidate(), cross_validation=cross_validation))

    async def judge(self, candidate: Candidate, *, cross_validation: bool = True) -> Vote:
        """The same as a ``Vote``."""
        vote = await self.environment.vote(candidate, once=not cross_validation)
        if vote.verdict is None:
            reason = vote.trouble[0] if vote.trouble else "there was no execution"
            error = DependencyError if candidate.dependencies else RuntimeFailure
            raise error(f"the program could not be judged: {reason}")
        return vote


def analysed(vote: Vote) -> ValidationResult:
    """What a vote on a judged candidate says."""
    outcome = vote.outcome
    shown = next(e for e in vote.executions if e.verdict is vote.verdict)
    tests, rows = vote.candidate.tests, [execution.row for execution in vote.voting]
    return ValidationResult(
        success=vote.accepted,
        execution_result=shown,
        output=shown.stdout.rstrip(),
        expected_output=tests.stdout if tests.kind == "expected_output" else None,
        execution_time=_median([row["wall_s"] for row in rows]),
        resource_usage={
            "cpu_s": _median([row["cpu_s"] for row in rows]),
            "peak_memory_bytes": max(row["peak_memory_bytes"] for row in rows),
            "stdout_bytes": shown.row["stdout_bytes"],
            "stderr_bytes": shown.row["stderr_bytes"],
        },
        errors=_errors(vote, shown),
        warnings=[*dict.fromkeys(sign for row in rows for sign in row["suspicion"]), *vote.trouble],
        validation_score=vote.validation_score,
        confidence_level=vote.confidence_level,
        recommendations=_recommendations(vote),
        statistics={
            "verdict": str(vote.verdict.value) if vote.verdict else None,
            "agreement": outcome.agreement,
            "agreement_interval": (outcome.agreement_low, outcome.agreement_high),
            "consensus": outcome.consensus,
            "judged": outcome.judged,
            "unjudged": outcome.unjudged,
            "environments": sorted({row["environment"] for row in rows}),
            "reliability": vote.reliability.value,
            "cause": vote.cause,
        },
    )


def _errors(vote: Vote, shown: Execution) -> list[str]:
    if vote.accepted:
        return []
    row = shown.row
    found = [": ".join(filter(None, [row["error_type"], row["error_message"]])) or row["verdict"]]
    found += [
        f"test {test['name']}: {test['outcome']}: {test['message']}".rstrip(": ")
        for test in row["tests"]
        if test["outcome"] not in ("accepted", "not_run")
    ]
    return found


_ADVICE = {
    "wrong_answer": "compare what it prints or returns with what is expected",
    "runtime_error": "handle the error that it ends with, or mend what raises it",
    "compile_error": "it isn't a program: mend the syntax",
    "time_limit": "it needs a faster way, or a longer timeout",
    "memory_limit": "it needs less memory, or a larger limit in resource_limits",
    "output_limit": "it prints too much",
    "early_exit": "it ends by itself before its tests do: no exit belongs into it",
    "policy_violation": "it does what the policy refuses; docs/policy.md says what and why",
}


def _recommendations(vote: Vote) -> list[str]:
    found = []
    if vote.verdict is not None and vote.verdict.value in _ADVICE:
        found.append(_ADVICE[vote.verdict.value])
    if vote.outcome.flaky:
        depends = f"on {vote.cause}" if vote.cause else "on something that was not found"
        found.append(f"its executions disagree: it depends {depends}")
    return found


def _median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    if len(values) % 2:
        return float(ordered[middle])
    return (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class CacheStatistics:
    entries: int
    hits: int
    misses: int
    evictions: int
    expired: int

    @property
    def hit_rate(self) -> float | None:
        """None before anything was looked up."""
        looked_up = self.hits + self.misses
        return self.hits / looked_up if looked_up else None


class ResultCache:
    """Results of the tool, by the key of all that they depend on (docs/cache.md).

    ``ttl``: seconds that a result is believed.  Of more than ``size`` results those go that were
    used longest ago.  In memory; votes of runs are kept on disk by the pipeline's cache.  Safe
    for several threads.
    """

    def __init__(self, ttl: float = 3600, size: int = 1000) -> None:
        self._ttl, self._size = ttl, size
        self._lock = threading.Lock()
        self._entries: OrderedDict[Any, tuple[float, ToolResult]] = OrderedDict()
        self._hits = self._misses = self._evictions = self._expired = 0

    def get(self, key: Any) -> ToolResult | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None and time.monotonic() - found[0] >= self._ttl:
                del self._entries[key]
                self._expired += 1
                found = None
            if found is None:
                self._misses += 1
                return None
            self._entries.move_to_end(key)
            self._hits += 1
            return found[1]

    def put(self, key: Any, result: ToolResult) -> None:
        if self._ttl <= 0:
            return
        with self._lock:
            self._entries[key] = time.monotonic(), result
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
                self._evictions += 1

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    @property
    def statistics(self) -> CacheStatistics:
        with self._lock:
            return CacheStatistics(
                len(self._entries), self._hits, self._misses, self._evictions, self._expired
            )
