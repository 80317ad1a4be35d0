"""What the service is told and what it answers, and the OpenAPI document of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from hpc_runner import __version__
from hpc_runner.config import IsolationLevel
from hpc_runner.corpus.packages import declared_name
from hpc_runner.executions import Vote
from hpc_runner.model import Candidate, Limits, NoTests, Tests

__all__ = ["Failed", "Many", "One", "Output", "Run", "ServeConfig", "Voted", "openapi", "voted"]


class ServeConfig(BaseModel):
    """What the service is started with; docs/serve.md says what each is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=16000, ge=0, le=65535)
    token: str | None = Field(default=None, repr=False)
    runs: Path = Path("runs")
    runtime: str = "auto"
    environments: tuple[str, ...] = ()
    python: str | None = None
    require_isolation: IsolationLevel = "filtered"
    policy: dict[str, Any] = {}
    rounds: int = Field(default=3, ge=1, le=1000)
    slots: int = Field(default=5, ge=1)
    modules: tuple[str, ...] = ()
    wheelhouse: str | None = None
    run_timeout_s: float = Field(default=240.0, gt=0, le=86_400)
    memory_bytes: int = Field(default=256 << 20, ge=16 << 20)
    max_wall_s: float = Field(default=600.0, gt=0)
    max_memory_bytes: int = Field(default=4 << 30, ge=16 << 20)
    max_body_bytes: int = Field(default=4 << 20, ge=1)
    body_timeout_s: float = Field(default=30.0, gt=0)
    max_requests: int = Field(default=1000, ge=1)
    """Under way at a time."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Of one client."""
    drain_s: int = Field(default=30, ge=0)
    log_directory: Path | None = None

    @field_validator("modules")
    @classmethod
    def _are_packages(cls, modules: tuple[str, ...], _: ValidationInfo) -> tuple[str, ...]:
        for module in modules:
            if declared_name(module) is None:
                raise ValueError(f"{module!r} is not the name of a package with versions")
        return modules


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Run(_Told):
    """A program for `/run`, as KGoT's Python executor takes it."""

    code: str | None = Field(default=None, description="The program; what it prints is returned.")
    required_modules: list[str] | None = Field(
        default=None, description="Packages that it imports; those of the standard library count."
    )


class Output(BaseModel):
    """What a program printed."""

    output: str


class Failed(BaseModel):
    """Why there is nothing else."""

    error: str


class One(BaseModel):
    """A candidate, as in a corpus of our own format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    task_id: str = ""
    tests: Tests = NoTests()
    language: str = "python"
    limits: Limits = Limits()
    dependencies: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)

    def candidate(self) -> Candidate:
        return Candidate(
            task_id=self.task_id,
            code=self.code,
            tests=self.tests,
            language=self.language,
            limits=self.limits,
            dependencies=self.dependencies,
            env=self.env,
        )


class Many(BaseModel):
    """Candidates; the votes come back in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: tuple[One, ...] = Field(min_length=1, max_length=100_000)


class Voted(BaseModel):
    """The vote on a candidate; docs/votes.md and docs/results.md explain the columns."""

    index: int = Field(description="Of the candidate in the request, from 0.")
    task_id: str
    candidate_id: str
    verdict: str | None = Field(description="Null: the sandbox could not judge it.")
    accepted: bool
    consensus: bool
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    judged: int
    unjudged: int
    reliability: str
    cause: str | None
    validation_score: float
    confidence_level: float
    error_type: str | None = None
    error_message: str | None = None
    stdout: str = Field(default="", description="The end of what an execution printed.")
    stderr: str = ""
    wall_s: float | None = None
    trouble: list[str] = Field(description="Why executions could not be judged.")


def voted(index: int, vote: Vote) -> Voted:
    outcome = vote.outcome
    shown = next((e.row for e in vote.executions if e.verdict is vote.verdict), None)
    told: dict[str, Any] = {}
    if shown is not None:
        told = {name: shown[name] for name in ("error_type", "error_message", "wall_s")}
        told |= {"stdout": shown["stdout_tail"], "stderr": shown["stderr_tail"]}
    return Voted(
        index=index,
        task_id=vote.candidate.task_id,
        candidate_id=vote.candidate.candidate_id.hex(),
        verdict=vote.verdict.value if vote.verdict is not None else None,
        accepted=vote.accepted,
        consensus=outcome.consensus,
        agreement=outcome.agreement,
        agreement_low=outcome.agreement_low,
        agreement_high=outcome.agreement_high,
        judged=outcome.judged,
        unjudged=outcome.unjudged,
        reliability=vote.reliability.value,
        cause=vote.cause,
        validation_score=vote.validation_score,
        confidence_level=vote.confidence_level,
        trouble=list(vote.trouble),
        **told,
    )


# -------------------------------------------------------------------------- OpenAPI


def openapi(secured: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document.  ``secured``: a bearer token is required."""
    schemas: dict[str, Any] = {}
    for model in (Run, Output, Failed, One, Many, Voted):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "hpc-runner", "version": __version__},
        "paths": {
            "/run": {"post": _run()},
            "/v1/validate": {"post": _validate()},
            "/v1/runs": {"get": _get("The runs of this service's directory.", "object")},
            "/v1/runs/{name}": {"get": _of_run("How far a run is.")},
            "/v1/runs/{name}/summary": {"get": _of_run("The summary of a run.")},
            "/healthz": {"get": _get("Whether it works.", "object", secured=False)},
            "/metrics": {"get": _get("Counts, for Prometheus.", "string", "text/plain")},
            "/openapi.json": {"get": _get("This document.", "object")},
        },
        "components": {"schemas": schemas},
    }
    if secured:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _answer(description: str, schema: dict[str, Any], media: str = "application/json") -> Any:
    return {"description": description, "content": {media: {"schema": schema}}}


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _refusals(*statuses: str) -> dict[str, Any]:
    words = {
        "400": "The request, or the program, is wrong.",
        "401": "There is no token, or a wrong one.",
        "404": "There is no such run.",
        "408": "The program, or the request, took too long.",
        "413": "The request is too large.",
        "415": "The request is no JSON.",
        "421": "The request names another host.",
        "429": "Too many requests of this client.",
        "503": "Too much to do, or the sandbox failed; try again.",
    }
    common = ("400", "401", "413", "421", "429", "503")
    return {status: _answer(words[status], _ref(Failed)) for status in sorted({*common, *statuses})}


def _run() -> dict[str, Any]:
    return {
        "summary": "Execute a program and return what it prints.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(Run)}},
        },
        "responses": {
            "200": _answer("It ended without an error.", _ref(Output)),
            **_refusals("408", "415"),
        },
    }


def _validate() -> dict[str, Any]:
    lines = _answer("One candidate's vote, or, of many, a line for each.", _ref(Voted))
    lines["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
    return {
        "summary": "Vote on one candidate, or on many.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": [_ref(One), _ref(Many)]}}},
        },
        "responses": {"200": lines, **_refusals("408", "415")},
    }


def _get(
    summary: str, kind: str, media: str = "application/json", *, secured: bool = True
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": _answer(summary, {"type": kind}, media), **_refusals()},
    }
    if not secured:
        found["security"] = []
    return found


def _of_run(summary: str) -> dict[str, Any]:
    found = _get(summary, "object")
    found["parameters"] = [
        {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    found["responses"].update(_refusals("404"))
    return found
