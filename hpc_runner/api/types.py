"""What goes into the code running tool and what comes out of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc_runner.config import IsolationLevel, explain
from hpc_runner.corpus.languages import LANGUAGES, canonical
from hpc_runner.errors import ConfigError
from hpc_runner.executions import Execution
from hpc_runner.model import Candidate, Limits, tests_adapter
from hpc_runner.refine.strategies import Strategy as RefinementStrategy
from hpc_runner.sandbox.native import unsupported

__all__ = [
    "ExecutionContext", "ExecutionResult", "McpOutcome", "RefinementOutcome",
    "RefinementStrategy", "ToolConfig", "ToolResult", "ValidationResult", "memory_bytes",
]  # fmt: skip

ExecutionResult = Execution
"""One execution: ``verdict``, ``stdout``, ``stderr`` and ``row``, all columns of the results."""


class _Readable:
    """A dataclass that is read as a mapping, too: ``result["output"]`` is ``result.output``."""

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key) if key in self.keys() else default

    def keys(self) -> tuple[str, ...]:
        return tuple(item.name for item in dataclasses.fields(self))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()


@dataclass
class ExecutionContext:
    """Comprehensive context information for code execution and validation.

    ``timeout``: seconds.  ``resource_limits``: ``memory`` as Docker writes it (``256m``, ``1g``)
    and ``cpu``, the share of a CPU: the CPU seconds allowed are as many times the timeout.
    ``validation_criteria``: ``tests`` (as in a corpus, docs/corpus.md), or ``checker`` and
    ``tolerance`` for the expected output.  ``metadata``: yours; ``task_id`` names the task.
    """

    execution_id: str
    code: str
    language: str = "python"
    expected_output: str | None = None
    timeout: float = 30
    resource_limits: dict[str, str] = field(
        default_factory=lambda: {"memory": "256m", "cpu": "0.5"}
    )
    dependencies: list[str] = field(default_factory=list)
    environment_vars: dict[str, str] = field(default_factory=dict)
    validation_criteria: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)

    def candidate(self) -> Candidate:
        """The same as the pipeline's candidate.  Raises ``ConfigError`` naming what is wrong."""
        language = canonical(self.language)
        if language is None:
            known = ", ".join(item.name for item in LANGUAGES)
            raise ConfigError(f"language: {self.language!r} is not known; there are {known}")
        try:
            made = Candidate(
                task_id=str(self.metadata.get("task_id", self.execution_id)),
                code=self.code,
                tests=tests_adapter.validate_python(self._tests()),
                language=language,
                limits=self._limits(),
                dependencies=tuple(self.dependencies),
                env=self.environment_vars,
            )
        except ValidationError as error:
            raise ConfigError(explain(error)) from error
        if (reason := unsupported(made)) is not None:
            raise ConfigError(f"language: {reason}")
        return made

    def _tests(self) -> Any:
        criteria = dict(self.validation_criteria)
        tests = criteria.pop("tests", None)
        if tests is not None and (self.expected_output is not None or criteria):
            raise ConfigError(
                "validation_criteria: tests say how the code is judged, and so do expected_output"
                " and other criteria; give one of them"
            )
        if tests is not None:
            return tests.model_dump() if isinstance(tests, BaseModel) else tests
        if self.expected_output is None:
            if criteria:
                found = ", ".join(sorted(map(str, criteria)))
                raise ConfigError(f"validation_criteria: {found} need an expected_output")
            return {"kind": "none"}
        return {"kind": "expected_output", "stdout": self.expected_output, **criteria}

    def _limits(self) -> Limits:
        given = dict(self.resource_limits)
        memory = memory_bytes(given.pop("memory", "256m"))
        cpu = given.pop("cpu", None)
        if given:
            raise ConfigError(
                f"resource_limits: there are memory and cpu (found {', '.join(sorted(given))})"
            )
        share = _share(cpu) if cpu is not None else None
        return Limits(
            wall_s=self.timeout,
            cpu_s=0.0 if share is None else share * self.timeout,
            memory_bytes=memory,
        )


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmg]?)(?:i?b)?", re.IGNORECASE)


def memory_bytes(text: str | float) -> int:
    """``"256m"`` → 268435456; a number is bytes.  Raises ``ConfigError``."""
    found = _SIZE.fullmatch(str(text).strip())
    if found is None:
        raise ConfigError(f"memory: a size such as 256m or 1g is wanted (found {text!r})")
    return int(float(found[1]) * 1024 ** "bkmg".index(found[2].lower() or "b"))


def _share(text: str | float) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1024:
        raise ConfigError(f"cpu: a share of a CPU such as 0.5 is wanted (found {text!r})")
    return share


@dataclass
class ValidationResult(_Readable):
    """Comprehensive validation result with detailed analysis.

    ``success``: the vote accepted it.  ``execution_result`` is the first execution that ended as
    the vote did, ``output`` its stdout without white space at the end.  ``execution_time``:
    seconds, the median over the executions.  ``validation_score``: the mean share of its tests
    that passed.  ``confidence_level``: how sure the verdict is that of most executions; both as
    in docs/results.md.
    """

    success: bool
    execution_result: ExecutionResult
    output: str
    expected_output: str | None = None
    execution_time: float = 0.0
    resource_usage: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    validation_score: float = 0.0
    confidence_level: float = 0.0
    recommendations: list[str] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    """Of the vote: verdict, agreement with its interval, executions, reliability, cause."""


@dataclass
class RefinementOutcome(_Readable):
    """What refinement came to.  ``refined_code`` is the last program that it made, or None;
    ``reason`` says why it ended there (docs/refinement.md), or why nothing was asked."""

    success: bool = False
    refined_code: str | None = None
    iterations: int = 0
    reason: str = "not asked for"
    strategies: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    """Made without a model."""
    model: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    """Tokens, and dollars where they are known."""


@dataclass
class McpOutcome(_Readable):
    """The MCP server made of the program, or the reason why there is none."""

    success: bool = False
    reason: str = "not asked for"
    name: str | None = None
    directory: str | None = None
    tool: dict[str, Any] | None = None


@dataclass
class ToolResult(_Readable):
    """All that came of one call."""

    execution_id: str
    overall_success: bool
    code: str
    """The program that ``final_validation`` is of: the refined one, if one was better."""
    initial_validation: ValidationResult
    final_validation: ValidationResult
    refinement: RefinementOutcome = field(default_factory=RefinementOutcome)
    mcp: McpOutcome = field(default_factory=McpOutcome)
    cached: bool = False
    """It was answered from the result cache."""


class ToolConfig(BaseModel):
    """Options of ``create_code_running_tool``, with their defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_concurrent_executions: int = Field(default=5, ge=1)
    validation_rounds: int = Field(default=3, ge=1, le=1000)
    consensus_threshold: float = Field(default=0.8, gt=0.5, le=1.0)
    max_refinement_iterations: int = Field(default=3, ge=0)
    cache_ttl: float = Field(default=3600, ge=0)
    """Seconds that a result is remembered; 0: none is."""
    cache_size: int = Field(default=1000, ge=1)
    """Results that are remembered; what was used longest ago goes first."""
    timeout: float = Field(default=30, gt=0)
    memory: str = "256m"
    cpu: str = "0.5"
    runtime: str = "auto"
    environments: tuple[str, ...] = ()
    python: str | None = None
    require_isolation: IsolationLevel = "filtered"
    perturb: bool = True
    """Rounds differ on purpose (docs/perturbation.md)."""
    policy: dict[str, Any] = {}
    """As ``--policy`` and its relatives; docs/policy.md."""
    wheelhouse: str | None = None
    model: str | None = None
    """Who refines: a Claude Sonnet (docs/models.md) or ``scripted:FILE``."""
    key_file: Path | None = None
    api_base: str | None = None
    strict_model: bool = False
    mcp_directory: str = "mcp_servers"
    """Where ``generate_mcp`` writes servers, a directory for each call."""
    mcp_registry: str | None = None
    """Directory of the registry that verified tools are added to; None: none is."""

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None) -> Self:
        """Raises ``ConfigError`` for what isn't an option, or isn't one's value."""
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            raise ConfigError(f"code running tool: {explain(error)}") from error
