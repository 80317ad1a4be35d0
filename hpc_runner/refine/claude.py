"""Claude Sonnet through litellm, which is loaded by the first question and nowhere else.

Each question is one request at a time: litellm's own retries are off, because they neither
keep to the limiter's pace nor know what a failure means.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hpc_runner.errors import ConfigError, ModelBusy, QuestionError
from hpc_runner.refine.breaker import Breaker, Patience
from hpc_runner.refine.keys import Secret
from hpc_runner.refine.limiter import Limiter, Turn
from hpc_runner.refine.models import Route, parse_model
from hpc_runner.refine.refiner import Finish, ModelSpec, Part, Question, Reply, Usage
from hpc_runner.refine.succession import Succession
from hpc_runner.refine.trouble import Kind, Trouble, judge, one_line

HEADERS = {
    "HTTP-Referer": "https://github.com/alita-kgot-enhanced",
    "X-Title": "Alita KGoT Code Runner - Claude 4 Sonnet",
}
"""OpenRouter shows its users' applications by these."""

CHARACTERS_PER_TOKEN = 3.5
"""About; only to keep to tokens per minute until the reply tells how many there were."""


class ClaudeRefiner:
    """Asks a Claude Sonnet; the ``Refiner`` of refiner.py."""

    def __init__(
        self,
        spec: ModelSpec,
        route: Route,
        key: Secret | None,
        *,
        say: Callable[[str], None],
        patience: Patience = Patience(),
    ) -> None:
        self._spec = spec
        self._key = key
        self._patience = patience
        self._breaker = Breaker(route.provider, patience)
        self._models = Succession(route, strict=spec.strict, breaker=self._breaker, say=say)
        self._limiter = Limiter(spec.concurrency, spec.requests_per_minute, spec.tokens_per_minute)
        self._loading = asyncio.Lock()
        self._litellm: Any = None
        self._client: Any = None
        self._usual_answer = spec.max_output_tokens / 4
        """Tokens, as a moving average."""

    @property
    def model(self) -> str:
        return str(self._models.route)

    async def ask(self, question: Question) -> Reply:
        await self._load()
        began = self._limiter.now()
        tries = failures = 0
        while True:
            async with self._limiter.turn(self._estimate(question)) as turn:
                self._breaker.check()
                route = self._models.route
                tries += 1
                reply = await self._request(question, route)
                self._take_note(reply, turn)
            if isinstance(reply, Reply):
                return replace(reply, seconds=self._limiter.now() - began, tries=tries)
            if reply.kind is Kind.TRANSIENT and not self._breaker.blames_the_provider:
                failures += 1
            await self._after(reply, route, failures)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # One request

    async def _request(self, question: Question, route: Route) -> Reply | Trouble:
        spec = self._spec
        try:
            async with asyncio.timeout(spec.timeout_s):
                response = await self._litellm.acompletion(**self._arguments(question, route))
                if spec.stream:
                    chunks = [chunk async for chunk in response]
                    response = self._litellm.stream_chunk_builder(chunks)
            reply = _reply(response, route, spec.max_output_tokens)
        except TimeoutError:
            return Trouble(Kind.TRANSIENT, f"no answer within {spec.timeout_s:g} s")
        except Exception as error:  # litellm's are many, and not all have a common base
            return self._judge(error)
        if not reply.text and not reply.usage.prompt_tokens:  # a page of HTML as a stream, say
            return Trouble(Kind.TRANSIENT, "what came is no answer of a model")
        return reply

    def _arguments(self, question: Question, route: Route) -> dict[str, Any]:
        spec = self._spec
        arguments: dict[str, Any] = {
            "model": str(route),
            "messages": messages(question),
            "max_tokens": spec.max_output_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": question.schema, "strict": True},
            },
            "timeout": spec.timeout_s,
            "num_retries": 0,
            "max_retries": 0,
            "client": self._client,
        }
        if spec.stream:
            arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        if route.sonnet.takes_temperature:
            arguments["temperature"] = spec.temperature
        if self._key is not None:
            arguments["api_key"] = self._key.reveal()
        if spec.api_base is not None:
            arguments["api_base"] = spec.api_base
        if route.provider == "openrouter":
            arguments["extra_headers"] = HEADERS
        return arguments

    def _judge(self, error: Exception) -> Trouble:
        """What litellm raised.  Neither its exception nor the key goes any further."""
        headers = getattr(error, "litellm_response_headers", None) or {}
        words = str(getattr(error, "message", None) or error) or type(error).__name__
        if self._key is not None:
            words = self._key.hide_in(words)
        status = getattr(error, "status_code", None)
        status = status if isinstance(status, int) else None
        return judge(status, words, headers.get("retry-after"))

    # What follows from it

    def _take_note(self, reply: Reply | Trouble, turn: Turn) -> None:
        """Tell limiter and breaker."""
        if isinstance(reply, Reply):
            usage = reply.usage
            turn.answered(usage.prompt_tokens + usage.completion_tokens)
            self._usual_answer += (usage.completion_tokens - self._usual_answer) / 20
            self._breaker.answered()
            return
        if reply.kind is Kind.THROTTLED:
            turn.throttled(reply.retry_after_s)
            self._breaker.throttled(self._limiter.now(), reply)
        elif reply.kind is Kind.TRANSIENT:
            self._breaker.failed(self._limiter.now(), reply)

    async def _after(self, trouble: Trouble, route: Route, failures: int) -> None:
        """Returns when the question is to be sent again; raises when it isn't."""
        if trouble.kind is Kind.RUN:
            self._breaker.stop(f"{route}: {trouble.why}")
        elif trouble.kind is Kind.RETIRED:
            self._models.retire(route, trouble)
        elif trouble.kind is Kind.QUESTION:
            self._breaker.refused(trouble)
        if self._breaker.broken:
            self._limiter.open_for_good()
            self._breaker.check()
        if trouble.kind is Kind.QUESTION:
            raise QuestionError(f"{route}: {trouble.why}")
        if trouble.kind is Kind.TRANSIENT:
            if failures >= self._spec.max_tries:
                raise ModelBusy(f"{route}: {failures} requests failed, the last: {trouble.why}")
            await self._limiter.pause(self._backoff_s(failures, trouble))
            self._breaker.check()

    def _backoff_s(self, failures: int, trouble: Trouble) -> float:
        patience = self._patience
        longest = min(patience.backoff_s * 2.0 ** max(failures - 1, 0), patience.longest_backoff_s)
        drawn = longest * random.uniform(0.5, 1.0)
        return max(drawn, min(trouble.retry_after_s or 0.0, patience.throttled_s))

    def _estimate(self, question: Question) -> float:
        characters = sum(len(part.text) for part in (*question.system, *question.user))
        return characters / CHARACTERS_PER_TOKEN + self._usual_answer

    async def _load(self) -> None:
        async with self._loading:
            if self._litellm is None:
                self._litellm = await asyncio.to_thread(load_litellm)
            if self._client is None:
                self._client = _client(self._litellm, self._spec.timeout_s)


# litellm


def load_litellm() -> Any:
    """The module, told to keep to itself: it fetches nothing, reports nothing and logs nothing.

    It takes seconds of CPU.  Raises ``ConfigError`` when it isn't installed.
    """
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
    try:
        import litellm
    except ImportError as error:
        raise ConfigError(
            f"asking a model needs litellm: pip install 'hpc-runner[llm]' ({error})"
        ) from error
    import logging
    import warnings

    # pydantic's, of litellm; and what litellm leaves when it is cancelled at the wrong moment
    warnings.filterwarnings("ignore", message="Item '.*' on TypedDict class")
    warnings.filterwarnings("ignore", message="coroutine 'BaseLLMHTTPHandler")
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # its debug lines hold requests
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


def _client(litellm: Any, timeout_s: float) -> Any:
    """A connection pool of our own, which sends a request once and no second time."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    class Once(AsyncHTTPHandler):  # type: ignore[misc]
        async def single_connection_post_request(self, *_: Any, **__: Any) -> Any:
            """What litellm does when a connection breaks.  The answer may be paid for already."""
            raise ConnectionError("the connection broke")

    return Once(timeout=timeout_s)


def messages(question: Question) -> list[dict[str, Any]]:
    """As litellm takes them: a block for each part, the last stable one marked for caching."""
    return [
        {"role": role, "content": blocks(parts)}
        for role, parts in (("system", question.system), ("user", question.user))
        if parts
    ]


def blocks(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Of one message."""
    found: list[dict[str, Any]] = [{"type": "text", "text": part.text} for part in parts]
    stable = [index for index, part in enumerate(parts) if part.stable]
    if stable:
        found[stable[-1]]["cache_control"] = {"type": "ephemeral"}
    return found


# Replies


def _reply(response: Any, route: Route, limit: int) -> Reply:
    choice = response.choices[0]
    text = choice.message.content or ""
    usage = _usage(response, route)
    finish = finish_of(choice, text, full=usage.completion_tokens >= limit)
    return Reply(text, finish, _who(response, route), usage, seconds=0.0, tries=1)


def finish_of(choice: Any, text: str, *, full: bool) -> Finish:
    reason = choice.finish_reason
    if reason in ("content_filter", "refusal") or getattr(choice.message, "refusal", None):
        return Finish.REFUSAL
    if reason in ("length", "max_tokens"):
        return Finish.LENGTH
    if text.strip() in ("", "{}"):  # litellm shows an answer that was cut off as {}, too
        return Finish.LENGTH if full else Finish.EMPTY
    return Finish.STOP


def _who(response: Any, route: Route) -> str:
    """The route, unless the provider says that another model answered."""
    told = getattr(response, "model", None)
    if not told:
        return str(route)
    try:
        same = parse_model(f"{route.provider}/{told}").sonnet == route.sonnet
    except ConfigError:
        same = False
    return str(route) if same else f"{route.provider}/{one_line(str(told))}"


def _usage(response: Any, route: Route) -> Usage:
    usage = getattr(response, "usage", None)
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    cached = _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    usd = getattr(usage, "cost", None)
    if not usd:  # litellm says 0 for what it doesn't know
        known = route.price if prompt + completion else None
        usd = known.usd(prompt, cached, written, completion) if known else None
    return Usage(prompt, cached, completion, usd)


def _count(holder: Any, name: str) -> int:
    return getattr(holder, name, None) or 0
