"""For tests of asking a model: questions, and a Claude that is asked on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

from model_server import Action, ModelServer

from hpc_runner.refine.breaker import Patience
from hpc_runner.refine.claude import ClaudeRefiner
from hpc_runner.refine.keys import Secret
from hpc_runner.refine.models import parse_model
from hpc_runner.refine.refiner import ModelSpec, Part, Question, Reply, question_key

KEY = "sk-of-the-tests-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string"}},
    "required": ["code"],
    "additionalProperties": False,
}
HASTE = Patience(backoff_s=0.01, in_a_row=1000)
"""Waits next to nothing, and never blames the provider."""
MODELS = {
    "openrouter": "openrouter/anthropic/claude-sonnet-4",
    "anthropic": "anthropic/claude-sonnet-4-6",
}


def question(text: str = "def f(): return 1/0\n", **changes: Any) -> Question:
    system = (Part("Mend the program.", stable=True), Part("Answer in JSON.", stable=True))
    user = (Part("The task.", stable=True), Part(text))
    values: dict[str, Any] = {
        "key": question_key(system, user, SCHEMA), "system": system, "user": user,
        "schema": SCHEMA, "task_id": "t/0", "code": text, "attempt": 1,
        "strategy": "comprehensive", "verdict": "runtime_error",
    }  # fmt: skip
    return Question(**{**values, **changes})


def claude(
    server: ModelServer,
    provider: str = "openrouter",
    *,
    model: str | None = None,
    patience: Patience = HASTE,
    said: list[str] | None = None,
    key: str = KEY,
    **spec: Any,
) -> ClaudeRefiner:
    name = model or MODELS[provider]
    values = {"timeout_s": 20.0, "max_tries": 3, "api_base": server.api_base(provider), **spec}
    return ClaudeRefiner(
        ModelSpec(name=name, **values),
        parse_model(name),
        Secret(key),
        say=(said if said is not None else []).append,
        patience=patience,
    )


def ask(refiner: ClaudeRefiner, *questions: Question) -> list[Reply | BaseException]:
    """What comes of each of them, asked all at once; the refiner is closed afterwards."""

    async def all_of_them() -> list[Reply | BaseException]:
        try:
            return await asyncio.gather(*map(refiner.ask, questions), return_exceptions=True)
        finally:
            await refiner.close()

    return asyncio.run(all_of_them())


def ask_one(refiner: ClaudeRefiner, asked: Question | None = None) -> Reply:
    """The reply; raises what asking raises."""
    (found,) = ask(refiner, asked or question())
    if isinstance(found, BaseException):
        raise found
    return found


def warm_up(**spec: Any) -> None:
    """litellm loads much by its first request to a provider, which then takes seconds."""
    with ModelServer(lambda asked: Action(text="{}")) as server:
        for provider in MODELS:
            ask_one(claude(server, provider, timeout_s=120.0, **spec))
