"""The seam between refinement and a model: a question goes in, a reply comes out.

A reply is what the model said, however useless; that it said nothing is a ``ModelError``,
whose class tells whether to ask again later, to give the question up, or to stop asking.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

DEFAULT_MODEL = "openrouter/anthropic/claude-sonnet-4"


@dataclass(frozen=True)
class Part:
    """Text of a message.  Stable parts stand first and are marked for prompt caching."""

    text: str
    stable: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked.

    ``key`` is ``question_key`` of all that the answer depends on, the model left out: the
    question's identity in the ledger of answers.  ``task_id`` to ``verdict`` are what a scripted
    refiner goes by; they are never sent.
    """

    key: str
    system: tuple[Part, ...]
    user: tuple[Part, ...]
    schema: Mapping[str, Any]
    """JSON schema of the wanted answer.  Providers take objects with ``additionalProperties:
    false`` whose properties are all required, and no limits on lengths or numbers."""
    task_id: str
    code: str
    attempt: int
    """From 1."""
    strategy: str
    verdict: str


def question_key(
    system: tuple[Part, ...], user: tuple[Part, ...], schema: Mapping[str, Any]
) -> str:
    """SHA-256, in hex, of what is sent.  The marks for caching are no part of it."""
    sent = [[part.text for part in system], [part.text for part in user], schema]
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Usage:
    """What a reply cost.  Of tries that failed before it nothing is known, so nothing is counted.

    ``cached_tokens`` are those of ``prompt_tokens`` that came from the provider's cache.
    ``usd`` is the provider's figure or computed from a registered price; None: unknown, not 0.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    usd: float | None


class Finish(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    """It had said all."""
    LENGTH = "length"
    """The text is cut off, or was hidden by the provider because it was cut off."""
    REFUSAL = "refusal"
    """It doesn't want to."""
    EMPTY = "empty"
    """It said nothing."""


@dataclass(frozen=True)
class Reply:
    """What the model said.  ``model`` gave it; it may be a successor of the one asked for."""

    text: str
    finish: Finish
    model: str
    usage: Usage
    seconds: float
    """From the question to the reply, waiting for the limiter and for retries included."""
    tries: int
    """Requests that were sent for it: 1 when the first one was answered."""


class Refiner(Protocol):
    """Something that answers questions, many at a time on one event loop.

    It bounds how many requests are under way and keeps to its rates by itself: callers may ask
    as many questions at once as they like.
    """

    @property
    def model(self) -> str:
        """The model that the next question goes to."""

    async def ask(self, question: Question) -> Reply:
        """The reply; cancelling it sends nothing more.

        Raises ``ModelBusy`` when the provider doesn't answer for now, ``QuestionError`` when it
        won't answer this question, ``ModelUnavailable`` when it won't answer any.
        """

    async def close(self) -> None:
        """Give connections back.  Safe to call twice."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model is asked, and how.  It holds no key: at most the path of a file with one."""

    name: str = DEFAULT_MODEL
    """A Claude Sonnet (docs/models.md), ``batch:`` and one of Anthropic's, ``scripted:FILE``."""
    strict: bool = False
    """Stop when the model is retired, instead of taking its successor."""
    temperature: float = 0.1
    """Sent to models that take one."""
    max_output_tokens: int = 8000
    timeout_s: float = 300.0
    """For one request."""
    stream: bool = False
    """Have answers sent as they are made: some proxies cut connections that are silent."""
    max_tries: int = 6
    """Requests for one question, while failures are transient."""
    concurrency: int = 16
    """Requests under way at a time."""
    requests_per_minute: float | None = None
    """At most; None: as many as ``concurrency`` allows and the provider takes."""
    tokens_per_minute: float | None = None
    """Prompt and answer together, at most."""
    key_file: Path | None = None
    """A file that holds the provider's key and nothing else; the environment if None."""
    batches: Path | None = None
    """File of the batches that were sent; without it they are sent anew by the next process."""
    api_base: str | None = None
    """Address of a proxy or gateway that stands in for the provider."""
