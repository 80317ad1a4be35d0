"""A model on loopback: OpenRouter's /chat/completions and Anthropic's /v1/messages, scripted.

In a test:

    with ModelServer(lambda asked: Action(text='{"code": "..."}')) as server:
        ModelSpec(api_base=server.api_base("openrouter"))
    assert server.counts.usd == ...

As a program, which prints the two addresses and serves until it is killed:

    python tests/refine/model_server.py --script FILE [--port 0] [--key KEY] [--log FILE]

The script is JSONL, a rule per line, and the first that matches is done: ``model`` and
``contains`` (text of the prompt) must hold, ``seen`` is how often this prompt was answered
before, ``times`` how often the rule is good for, ``share`` of all requests it takes (drawn with
a seed).  The rest are fields of ``Action``.  Where no rule matches, the text is "no rule".
GET /counts tells what was asked, answered and paid; the server counts by itself.
Anthropic's message batches are in model_batches.py.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import model_batches
from model_wire import (
    anthropic_reply,
    blocks,
    header,
    openrouter_reply,
    reset,
    send,
    stream,
    tokens,
)

USD_PER_PROMPT_TOKEN = 3e-6
USD_PER_CACHED_TOKEN = 3e-7
USD_PER_COMPLETION_TOKEN = 15e-6

ERRORS = {  # kind: status, Anthropic's type, message
    "rate_limit": (429, "rate_limit_error", "Rate limit exceeded"),
    "error": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "wrong_key": (401, "authentication_error", "invalid x-api-key"),
    "no_credit": (402, "billing_error", "Insufficient credits"),
    "bad_request": (400, "invalid_request_error", "messages: at least one is required"),
    "too_long": (
        400,
        "invalid_request_error",
        "prompt is too long: 250000 tokens > 200000 maximum",
    ),
    "retired": (404, "not_found_error", "model: {model}"),
}
OPENROUTER_SAYS = {
    "wrong_key": "No auth credentials found",
    "retired": "No endpoints found for {model}.",
    "too_long": "This endpoint's maximum context length is 200000 tokens. However, you requested"
    " about 250000 tokens. Please reduce the length of either one.",
}
KINDS = (
    "answer", "length", "refusal", "empty", "hang", "stall", "drop", "reset", "html", "not_json",
    "error_in_200", "expired", *ERRORS,
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request: ``prompt`` is all text of its messages, the system's first."""

    number: int
    api: str
    model: str
    prompt: str
    seen: int
    """How often this prompt was answered before."""
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Action:
    """What the server does.  Tokens that aren't given are counted: four characters each."""

    kind: str = "answer"
    text: str = "no rule"
    delay_s: float = 0.0
    retry_after: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: bool = True
    """Tell the price, as OpenRouter does."""
    message: str | None = None
    """Of an error, instead of the usual one."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r}: expected one of {', '.join(KINDS)}")


Respond = Callable[[Asked], Action]


@dataclass
class Counts:
    """What the server has seen; ``usd`` is what it would send a bill for."""

    requests: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    most_at_once: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    """SHA-256 of a prompt → answers to it that were paid for."""


class ModelServer:
    """Serves in a thread of its own between ``with`` and its end."""

    def __init__(
        self, respond: Respond, *, key: str | None = None, port: int = 0, log: Path | None = None
    ) -> None:
        self.respond = respond
        self.key = key
        self.counts = Counts()
        self.batches = model_batches.Batches(self)
        self.asked: list[Asked] = []
        self.keep_asked = True
        self._port = port
        self._log = log
        self._busy = 0
        self._cached: set[str] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def api_base(self, provider: str) -> str:
        """``openrouter`` or ``anthropic``: what the client is given as its address."""
        root = f"http://127.0.0.1:{self._port}"
        return f"{root}/api/v1" if provider == "openrouter" else root

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(
            self._connection, "127.0.0.1", self._port, limit=1 << 24
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    # One connection, as many requests as it brings

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server is told to
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        if path.startswith(model_batches.PATH):
            return await self.batches.serve(path, data, headers, writer)
        if method == "GET" and path == "/counts":
            return await send(writer, 200, json.dumps(vars(self.counts)))
        api = {"/api/v1/chat/completions": "openrouter", "/v1/messages": "anthropic"}.get(path)
        if method != "POST" or api is None:
            return await send(writer, 404, json.dumps({"error": {"message": f"no {path}"}}))
        asked = self.ask(api, json.loads(data), headers)
        self._busy += 1
        self.counts.most_at_once = max(self.counts.most_at_once, self._busy)
        try:
            return await self._act(asked, self.action(asked), writer)
        finally:
            self._busy -= 1

    def ask(self, api: str, body: dict[str, Any], headers: dict[str, str]) -> Asked:
        prompt = "\n".join(text for text, _ in blocks(body))
        digest = hashlib.sha256(prompt.encode()).hexdigest()
        asked = Asked(
            self.counts.requests,
            api,
            body["model"],
            prompt,
            self.counts.paid[digest],
            body,
            headers,
        )
        self.counts.requests += 1
        self.counts.models[asked.model] += 1
        if self.keep_asked:
            self.asked.append(asked)
        return asked

    def action(self, asked: Asked) -> Action:
        sent = asked.headers.get("x-api-key") or asked.headers.get("authorization", "")
        if self.key is not None and sent.removeprefix("Bearer ") != self.key:
            return Action("wrong_key")
        return self.respond(asked)

    async def _act(self, asked: Asked, action: Action, writer: asyncio.StreamWriter) -> bool:
        self.counts.kinds[action.kind] += 1
        await asyncio.sleep(action.delay_s)
        if action.kind == "hang":
            await self._over.wait()
            return False
        if action.kind == "drop":
            return reset(writer)
        if action.kind in ERRORS:
            status, kind, message = ERRORS[action.kind]
            return await self._error(asked, action, writer, (status, kind, message))
        if action.kind == "html":
            page = "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
            return await send(writer, 200, page, kind="text/html")
        if action.kind == "not_json":
            return await send(writer, 200, '{"id": "x", "choi')
        if action.kind == "error_in_200":
            return await send(
                writer,
                200,
                json.dumps({"error": {"code": 502, "message": "Provider returned error"}}),
            )
        reply = self.pay(asked, action)
        whole = json.dumps(reply)
        if action.kind == "reset":
            writer.write(header(200, len(whole), "application/json") + whole[:40].encode())
            await writer.drain()
            return reset(writer)
        if asked.body.get("stream"):
            return await stream(writer, asked.api, reply, self._over, action.kind == "stall")
        return await send(writer, 200, whole)

    async def _error(
        self, asked: Asked, action: Action, writer: asyncio.StreamWriter, what: tuple[int, str, str]
    ) -> bool:
        status, kind, message = what
        if asked.api == "anthropic":
            status = 400 if action.kind == "no_credit" else status
            if action.kind == "no_credit":
                kind, message = "invalid_request_error", "Your credit balance is too low"
            body: dict[str, Any] = {"type": "error", "error": {"type": kind}}
        else:
            message = OPENROUTER_SAYS.get(action.kind, message)
            body = {"error": {"code": status}}
        body["error"]["message"] = action.message or message.format(model=asked.model)
        extra = {} if action.retry_after is None else {"retry-after": action.retry_after}
        return await send(writer, status, json.dumps(body), extra=extra)

    def pay(self, asked: Asked, action: Action, factor: float = 1.0) -> dict[str, Any]:
        """The reply, counted as paid."""
        text = action.text if action.kind not in ("refusal", "empty") else ""
        prompt = action.prompt_tokens
        prompt = tokens(asked.prompt) if prompt is None else prompt
        completion = action.completion_tokens
        if completion is None:
            limit = asked.body["max_tokens"]
            completion = limit if action.kind == "length" else min(tokens(text), limit)
        cached = min(self._from_cache(asked), prompt)
        usd = factor * (
            (prompt - cached) * USD_PER_PROMPT_TOKEN
            + cached * USD_PER_CACHED_TOKEN
            + completion * USD_PER_COMPLETION_TOKEN
        )
        counts, digest = self.counts, hashlib.sha256(asked.prompt.encode()).hexdigest()
        counts.answers += 1
        counts.prompt_tokens += prompt
        counts.cached_tokens += cached
        counts.completion_tokens += completion
        counts.usd += usd
        counts.paid[digest] += 1
        if self._log is not None:
            with self._log.open("a") as file:
                row = {"number": asked.number, "model": asked.model, "prompt": digest, "usd": usd}
                file.write(json.dumps(row) + "\n")
        shape = openrouter_reply if asked.api == "openrouter" else anthropic_reply
        bill = (prompt, cached, completion, usd if action.cost else None)
        return shape(asked.number, asked.body, action.kind, text, bill)

    def _from_cache(self, asked: Asked) -> int:
        """Tokens of the longest marked beginning, when it has been sent before."""
        text, begun, found = "", [], 0
        for part, marked in blocks(asked.body):
            text += part
            if marked:
                begun.append(text)
        for beginning in begun:
            digest = asked.model + hashlib.sha256(beginning.encode()).hexdigest()
            if digest in self._cached:
                found = tokens(beginning)
            self._cached.add(digest)
        return found


# Scripts


def scripted(path: Path, seed: int = 0) -> Respond:
    """The rules of a file as a function."""
    rules = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    left = [rule.pop("times", None) for rule in rules]
    conditions = [
        {name: rule.pop(name) for name in ("model", "contains", "seen", "share") if name in rule}
        for rule in rules
    ]
    for rule in rules:
        if not isinstance(rule.get("text", ""), str):
            rule["text"] = json.dumps(rule["text"])
    actions = [Action(**rule) for rule in rules]
    draw = random.Random(seed)

    def respond(asked: Asked) -> Action:
        for index, wanted in enumerate(conditions):
            if (
                left[index] != 0
                and wanted.get("model", asked.model) == asked.model
                and wanted.get("contains", "") in asked.prompt
                and wanted.get("seen", asked.seen) == asked.seen
                and draw.random() < wanted.get("share", 1.0)
            ):
                left[index] = left[index] and left[index] - 1
                return actions[index]
        return Action()

    return respond


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key")
    parser.add_argument("--log", type=Path, help="JSONL: every answer that was paid for")
    options = parser.parse_args()
    server = ModelServer(
        scripted(options.script), key=options.key, port=options.port, log=options.log
    )
    server.keep_asked = False
    with server:
        for provider in ("openrouter", "anthropic"):
            print(provider, server.api_base(provider), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
