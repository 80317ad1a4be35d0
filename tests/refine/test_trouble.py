"""What a failed request means, by status and words; when all asking is given up."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.errors import ModelUnavailable
from hpc_runner.refine.breaker import Breaker, Patience
from hpc_runner.refine.trouble import Kind, Trouble, judge, seconds


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (None, "Cannot connect to host", Kind.TRANSIENT),
        (200, "Unable to get json response - <html>", Kind.TRANSIENT),
        (408, "Request timed out", Kind.TRANSIENT),
        (429, "Rate limit exceeded", Kind.THROTTLED),
        (500, "Internal server error", Kind.TRANSIENT),
        (503, "No available model provider", Kind.TRANSIENT),
        (529, "Overloaded", Kind.TRANSIENT),
        (400, "messages: at least one message is required", Kind.QUESTION),
        (400, "prompt is too long: 250000 tokens > 200000 maximum", Kind.QUESTION),
        (413, "Request exceeds the maximum size", Kind.QUESTION),
        (422, "Unprocessable", Kind.QUESTION),
        (403, "Your chosen model requires moderation and your input was flagged", Kind.QUESTION),
        (400, "Your credit balance is too low to access the Anthropic API", Kind.RUN),
        (402, "Insufficient credits", Kind.RUN),
        (401, "invalid x-api-key", Kind.RUN),
        (403, "Your API key does not have permission", Kind.RUN),
        (404, "model: claude-sonnet-4-20250514", Kind.RETIRED),
        (404, "No endpoints found for anthropic/claude-sonnet-4.", Kind.RETIRED),
        (400, "anthropic/claude-sonnet-4 is not a valid model ID", Kind.RETIRED),
        (400, "This model version has reached the end of its life.", Kind.RETIRED),
        (400, "The provided model identifier is invalid.", Kind.RETIRED),
        (404, "Publisher Model `projects/p/claude-sonnet-4` was not found", Kind.RETIRED),
        (404, "No endpoints found matching your data policy", Kind.RUN),
        (404, "No endpoints found that support tool use", Kind.RUN),
        (404, "<html>Not Found</html>", Kind.RUN),
    ],
)
def test_every_failure_has_its_meaning(status: int | None, words: str, kind: Kind) -> None:
    assert judge(status, words).kind is kind


@given(st.none() | st.integers(100, 599), st.text(), st.none() | st.text())
def test_nothing_is_without_a_meaning(status: int | None, words: str, header: str | None) -> None:
    trouble = judge(status, words, header)
    assert "\n" not in trouble.why and len(trouble.why) < 400
    assert trouble.retry_after_s is None or trouble.retry_after_s >= 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            "litellm.APIError: APIError: OpenrouterException - "
            '{"error": {"code": 402, "message": "Insufficient credits"}}',
            "the account has no credit left: Insufficient credits",
        ),
        (
            'litellm.NotFoundError: AnthropicException - {"type": "error", "error": {"type":'
            ' "not_found_error", "message": "model: claude-x"}}. Handle with it.',
            "the account has no credit left: model: claude-x",
        ),
        ("a line\nand {another}", "the account has no credit left: a line and {another}"),
    ],
)
def test_what_is_told_is_the_providers_own_message(words: str, why: str) -> None:
    assert judge(402, words).why == why


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds("3") == 3 and seconds("0.5") == 0.5 and seconds("-1") == 0
    assert seconds(formatdate(time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert seconds(formatdate(time() - 60, usegmt=True)) == 0
    for nonsense in (None, "", "soon", "nan", "inf", "1e300"):
        assert seconds(nonsense) is None


# The breaker

DOWN = Trouble(Kind.TRANSIENT, "Overloaded")
PATIENCE = Patience(in_a_row=3, down_s=10, throttled_s=100)


def test_failures_in_a_row_for_long_break_it_and_it_says_why() -> None:
    breaker = Breaker("openrouter", PATIENCE)
    for now in (0, 1, 2, 3, 9):
        breaker.failed(now, DOWN)
        breaker.check()
    breaker.failed(10, DOWN)
    with pytest.raises(
        ModelUnavailable, match=r"6 requests in a row failed within 10 s.*Overloaded"
    ):
        breaker.check()


def test_an_answer_in_between_mends_it() -> None:
    breaker = Breaker("openrouter", PATIENCE)
    for now in range(0, 100, 3):
        breaker.failed(now, DOWN)
        breaker.failed(now + 1, DOWN)
        breaker.answered()
    breaker.check()


def test_few_failures_are_no_provider_that_is_down() -> None:
    breaker = Breaker("openrouter", PATIENCE)
    breaker.failed(0, DOWN)
    breaker.failed(1000, DOWN)
    breaker.check()
    assert not breaker.blames_the_provider


def test_too_many_requests_are_borne_longer() -> None:
    breaker = Breaker("openrouter", PATIENCE)
    throttled = Trouble(Kind.THROTTLED, "Rate limit", 5.0)
    for now in range(0, 100, 5):
        breaker.throttled(now, throttled)
    breaker.check()
    breaker.throttled(100, throttled)
    with pytest.raises(ModelUnavailable):
        breaker.check()


def test_a_long_wait_is_no_provider_that_is_down() -> None:
    breaker = Breaker("openrouter", PATIENCE)
    for _ in range(16):
        breaker.throttled(0, Trouble(Kind.THROTTLED, "Rate limit", 60.0))
    for _ in range(2):
        breaker.failed(61, DOWN)
    breaker.check()


def test_a_wait_that_is_longer_than_patience_ends_it_at_once() -> None:
    breaker = Breaker("openrouter", PATIENCE)
    breaker.throttled(0, Trouble(Kind.THROTTLED, "daily limit", 86400.0))
    with pytest.raises(ModelUnavailable, match="wants 86400 s to pass"):
        breaker.check()
