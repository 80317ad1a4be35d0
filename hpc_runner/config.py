"""What a run is asked to do: every option, its default and its check."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc_runner.errors import ConfigError
from hpc_runner.model import Limits

FORMATS = (
    "native", "humaneval", "evalplus", "humanevalpack", "mbpp", "apps", "taco",
    "code_contests", "livecodebench", "bigcodebench", "synthetic1", "folder",
)  # fmt: skip

DEFAULT_IMAGE = "py311"
"""The environment of runtimes that need an image, where none is named."""

IsolationLevel = Literal["limits", "filtered", "full"]
ISOLATION_LEVELS: tuple[IsolationLevel, ...] = get_args(IsolationLevel)
"""From weakest to strongest; what each one holds stands in docs/security.md."""


class LimitOverrides(BaseModel):
    """Limits of the command line: given ones replace those of the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_s: float | None = None
    cpu_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None
    processes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None

    def apply(self, limits: Limits) -> Limits:
        given = self.model_dump(exclude_none=True)
        return Limits.model_validate({**limits.model_dump(), **given}) if given else limits


Severity = Literal["off", "warn", "refuse"]
"""What a rule of the policy does: nothing, a finding, or a finding and no execution."""


class PolicyConfig(BaseModel):
    """What candidates are checked for before anything runs; docs/policy.md lists the rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Severity = "warn"
    """``warn``: each rule as documented.  ``refuse``: what would warn refuses.  ``off``: no
    checks, and no variables are taken away."""
    rules: dict[str, Severity] = {}
    """Rule → what it does in this run, whatever the mode."""
    allow_dependencies: tuple[str, ...] = ()
    """Names of packages.  When there are any, no other one may be used."""
    allow_env: tuple[str, ...] = ()
    """Names of variables, or patterns such as ``APP_*``.  When there are any, candidates are
    given no others but the harmless ones of docs/policy.md."""
    max_code_bytes: int = Field(default=256 << 10, ge=1)
    """Of a program, in UTF-8; larger ones get a finding and are not read any further."""


class CacheConfig(BaseModel):
    """Where votes of earlier runs are looked up, and this one's are kept; docs/cache.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: str | None = None
    """Absolute path; None: no cache."""
    readonly: bool = False
    max_age_s: float | None = Field(default=None, ge=0)
    max_bytes: int | None = Field(default=2 << 30, ge=0)


class RefineConfig(BaseModel):
    """Whether and how candidates that fail are refined by a model; docs/refinement.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["none", "failing", "unsolved"] = "none"
    """``failing``: every candidate that isn't accepted; ``unsolved``: only those of tasks that
    no candidate solves yet."""
    model: str | None = None
    """A Claude Sonnet, or ``scripted:FILE``; the default one if not given."""
    strict_model: bool = False
    """Stop when the model is retired, instead of taking its successor."""
    max_iterations: int = Field(default=3, ge=1, le=100)
    """Refinements of a candidate, one after the other."""
    violations: bool = False
    """Refine what the policy refuses, too."""
    hide_tests: bool = False
    """The model is told the kind of a failure, but nothing of the tests."""
    local_repairs: bool = True
    """Mend what needs no model before one is asked."""
    patterns: str | None = None
    """Absolute path of what is learnt from run to run; None: nothing is."""
    budget_usd: float | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    """Of prompts and answers together."""
    concurrency: int = Field(default=16, ge=1, le=1000)
    """Questions under way at a time."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    key_file: str | None = None
    """Absolute path of a file with the provider's key; the environment if not given."""
    api_base: str | None = None
    """Address of a gateway that stands in for the provider."""


class RunConfig(BaseModel):
    """One run.  It is written to ``run.json`` and never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: tuple[str, ...]
    """Absolute paths: the corpus, then optionally a file of samples for its tasks."""
    format: str = "auto"
    code_field: str | None = None
    limit: int | None = Field(None, ge=1)
    strict: bool = False
    dedup: bool = True
    """Execute identical programs once, and count the vote for each of them."""
    cache: CacheConfig = CacheConfig()
    rounds: int = Field(3, ge=1, le=1000)
    consensus_threshold: float = Field(0.8, gt=0.5, le=1.0)
    early_stop: bool = True
    """Leave out the rounds that can't change a candidate's outcome any more."""
    error_rate: float | None = Field(None, gt=0, lt=0.5)
    """Also leave out rounds that change the outcome of at most this share of the candidates."""
    extra_rounds: int = Field(14, ge=0, le=1000)
    """Most rounds more that candidates get whose executions disagree, until it is known what
    their verdict depends on.  They aren't counted in the vote."""
    perturb: bool = True
    """Rounds differ on purpose; docs/perturbation.md."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Of what is drawn: the perturbations."""
    runtime: str = "auto"
    isolation: Literal["agent", "container"] = "agent"
    """``container`` starts one container per execution instead of one per worker."""
    require_isolation: IsolationLevel = "filtered"
    environments: tuple[str, ...] = ()
    """What candidates are cross-validated in: names of recipes in containers/, or in the
    ``local`` runtime ``py311`` and the like, or absolute paths of interpreters.  The default
    image, or ``python``, if not given."""
    python: str | None = None
    """Interpreter of the ``local`` runtime; the one hpc_runner runs on if not given."""
    workers: int = Field(1, ge=1)
    """Worker processes at a time."""
    slots: int = Field(1, ge=1)
    """Executions at a time in each worker."""
    judge: Literal["auto", "split", "inline"] = "auto"
    """Where tests run: ``split``, in a process that never executes the candidate; ``inline``,
    in the candidate's; ``auto``, split where the tests need nothing but plain data."""
    suspicious: Literal["flag", "fail"] = "flag"
    """What becomes of a candidate that passes, but with signs of tampering."""
    fresh_interpreter: bool = False
    every_test: bool = False
    """Run the tests after the first one that fails, too."""
    limits: LimitOverrides = LimitOverrides()
    shard_size: int | None = Field(None, ge=1)
    """Candidates per shard; chosen from the corpus's size and the workers if not given."""
    policy: PolicyConfig = PolicyConfig()
    wheelhouse: str | None = None
    """Absolute path of a directory of wheels: dependencies come from there and no index."""
    infrastructure_retries: int = Field(3, ge=0)
    """How often an execution that ended as ``internal_error`` is tried again."""
    refine: RefineConfig = RefineConfig()

    @classmethod
    def parse(cls, values: dict[str, Any]) -> RunConfig:
        """Like the constructor, but a bad value is a ``ConfigError`` that names it."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(explain(error)) from error


def explain(error: ValidationError) -> str:
    """A pydantic error as one line per mistake: the key, what is wrong, what was found."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: {item['msg']}"
        f" (found {_short(item['input'])})"
        for item in error.errors()
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
