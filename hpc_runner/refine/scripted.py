"""A refiner that reads its answers from a file: for tests, for trying, and without a key.

``--model scripted:FILE``: JSONL, a rule per line, the first that matches answers.

    {"task_id": "HumanEval/0", "attempt": 2, "answer": {"code": "..."}}
    {"strategy": "syntax_correction", "answer": "text as it is"}
    {"verdict": "time_limit", "error": "busy", "message": "..."}

A rule matches when all of ``task_id``, ``code_sha256``, ``attempt``, ``strategy`` and
``verdict`` that it names are the question's.  It tells either an ``answer`` (text, or anything
else that is then written as JSON), with ``finish`` and ``usage`` if wanted, or an ``error``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hpc_runner.config import explain
from hpc_runner.errors import ConfigError, ModelBusy, ModelError, ModelUnavailable, QuestionError
from hpc_runner.refine.refiner import Finish, Question, Reply, Usage

PREFIX = "scripted:"

ERRORS: dict[str, type[ModelError]] = {
    "busy": ModelBusy,
    "question": QuestionError,
    "unavailable": ModelUnavailable,
}


class ScriptedUsage(BaseModel):
    """Tokens that a rule doesn't tell are 0; dollars that it doesn't tell are unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    prompt_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    usd: float | None = Field(default=None, ge=0)


class Rule(BaseModel):
    """A line of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task_id: str | None = None
    code_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    attempt: int | None = Field(default=None, ge=1)
    strategy: str | None = None
    verdict: str | None = None

    answer: Any = None
    finish: Finish | None = Field(default=None, strict=False)
    usage: ScriptedUsage = ScriptedUsage()
    error: str | None = None
    message: str = "the script says so"

    @model_validator(mode="after")
    def _one_outcome(self) -> Rule:
        if ("answer" in self.model_fields_set) == ("error" in self.model_fields_set):
            raise ValueError("a rule tells either an answer or an error")
        if self.error is not None and self.error not in ERRORS:
            raise ValueError(f"error is one of {', '.join(ERRORS)}")
        return self

    def matches(self, question: Question, code_sha256: str) -> bool:
        wanted = (self.task_id, self.code_sha256, self.attempt, self.strategy, self.verdict)
        found = (
            question.task_id, code_sha256, question.attempt, question.strategy, question.verdict,
        )  # fmt: skip
        return all(want is None or want == have for want, have in zip(wanted, found, strict=True))

    @property
    def text(self) -> str:
        if self.answer is None or isinstance(self.answer, str):
            return self.answer or ""
        return json.dumps(self.answer)


@dataclass(frozen=True)
class ScriptedRefiner:
    """Answers by rules, at once and always the same."""

    name: str
    rules: tuple[Rule, ...]

    @classmethod
    def load(cls, path: Path) -> ScriptedRefiner:
        """The rules of a file.  Raises ``ConfigError`` naming file, row (from 0) and key."""
        return cls(f"{PREFIX}{path.name}", tuple(_rules(path)))

    @property
    def model(self) -> str:
        return self.name

    async def ask(self, question: Question) -> Reply:
        """Raises ``QuestionError``, too, when no rule matches."""
        digest = hashlib.sha256(question.code.encode("utf-8", "surrogatepass")).hexdigest()
        rule = next((rule for rule in self.rules if rule.matches(question, digest)), None)
        if rule is None:
            raise QuestionError(
                f"{self.name}: no rule matches task {question.task_id!r}, attempt"
                f" {question.attempt}, strategy {question.strategy!r}, verdict"
                f" {question.verdict!r}, code {digest}"
            )
        if rule.error is not None:
            raise ERRORS[rule.error](f"{self.name}: {rule.message}")
        empty = Finish.EMPTY if not rule.text.strip() else Finish.STOP
        return Reply(
            rule.text, rule.finish or empty, self.name, Usage(**rule.usage.model_dump()), 0.0, 1
        )

    async def close(self) -> None:
        """Nothing to give back."""


def _rules(path: Path) -> list[Rule]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--model {PREFIX}{path}: can't be read: {error}") from error
    rules = []
    for row, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            rules.append(Rule.model_validate(json.loads(line)))
        except ValidationError as error:
            raise ConfigError(f"{path}, row {row}: {explain(error)}") from error
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}, row {row}: not JSON: {error}") from error
    if not rules:
        raise ConfigError(f"--model {PREFIX}{path}: there is no rule in it")
    return rules
