"""What a failed request means: ask again, give the question up, take another model, or stop.

Judged by status, header and the provider's words, so that nothing here needs litellm.
docs/models.md has the table.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Who is meant by a failure, and so what follows."""

    THROTTLED = "throttled"
    """The provider wants fewer requests: wait, then ask again, as often as it takes."""
    TRANSIENT = "transient"
    """Ask again, a few times."""
    QUESTION = "question"
    """Others may be answered."""
    RETIRED = "retired"
    """The model is gone; its successor may be there."""
    RUN = "run"
    """Nothing will be answered before somebody mends it."""


@dataclass(frozen=True)
class Trouble:
    """``why`` is one line, without the request.  ``retry_after_s``: the provider's wish."""

    kind: Kind
    why: str
    retry_after_s: float | None = None


_MONEY = ("insufficient credits", "credit balance", "insufficient_quota", "billing_error")
_GONE = (
    "no endpoints found for", "is not a valid model", "model:", "not_found_error",
    "end of its life", "deprecated", "retired", "model not found", "does not exist",
    "no longer available", "publisher model",
)  # fmt: skip
_GONE_400 = ("is not a valid model", "end of its life", "model identifier is invalid")
_NOT_GONE = ("data policy", "no endpoints found that", "no endpoints found matching", "guardrail")
_MODERATED = ("moderation", "flagged")


def judge(status: int | None, words: str, retry_after: str | None = None) -> Trouble:
    """``status`` is HTTP's; None: nothing came back.  ``words`` is what came instead."""
    why, low = one_line(_the_point(words)), words.lower()
    if status == 429:
        return Trouble(Kind.THROTTLED, why, seconds(retry_after))
    if status is None or status in (200, 408, 409, 425) or status >= 500:
        return Trouble(Kind.TRANSIENT, why, seconds(retry_after))
    if status == 402 or any(word in low for word in _MONEY):
        return Trouble(Kind.RUN, f"the account has no credit left: {why}")
    if status == 403 and any(word in low for word in _MODERATED):
        return Trouble(Kind.QUESTION, why)
    if status in (401, 403):
        return Trouble(Kind.RUN, f"the key isn't accepted: {why}")
    if status in (400, 404, 410) and _is_gone(status, low):
        return Trouble(Kind.RETIRED, why)
    if status in (404, 405, 410):
        return Trouble(Kind.RUN, f"this isn't where the model is asked: {why}")
    return Trouble(Kind.QUESTION, why)


def _is_gone(status: int, low: str) -> bool:
    if any(words in low for words in _NOT_GONE):
        return False
    if status == 400:  # most of them are about the question
        return any(words in low for words in _GONE_400)
    return any(words in low for words in _GONE)


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After header: seconds, or a date.  None when there is none that makes sense."""
    if retry_after is None:
        return None
    try:
        found = float(retry_after)
    except ValueError:
        try:
            found = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return max(found, 0.0) if found < 1e9 else None


_WRAPPING = re.compile(r"^.{0,200}?\w+(?:Exception|Error) - ", re.DOTALL)


def _the_point(words: str) -> str:
    """The provider's own message, without the JSON and the names of classes around it."""
    inner = _WRAPPING.sub("", words)
    start = inner.find("{")
    if start >= 0:
        try:
            told = json.JSONDecoder().raw_decode(inner[start:])[0]["error"]["message"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return inner
        return str(told)
    return inner


def one_line(words: str) -> str:
    """At most 300 characters, without line ends and control characters."""
    text = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    return text if len(text) <= 300 else text[:297] + "..."
