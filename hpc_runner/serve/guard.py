"""What stands before every request: who asks, how much, how often, how long; and the count of it.

Only the loopback address may be served without a token.  There the name in ``Host`` must be a
loopback one, so that no page of a browser gets at the service by a name of its own.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from hpc_runner.logs import event
from hpc_runner.serve.messages import ServeConfig
from hpc_runner.serve.metrics import Metrics

__all__ = ["Guard", "is_loopback"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

CLIENTS = 10_000
"""Whose rate is remembered."""
OPEN = ("/healthz",)
"""Needs no token and is not limited."""
KNOWN = ("/run", "/v1/validate", "/v1/runs", "/healthz", "/metrics", "/openapi.json")


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class _Refused(Exception):
    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, config: ServeConfig, metrics: Metrics) -> None:
        self._app = app
        self._config = config
        self._metrics = metrics
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, when

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, metrics = time.monotonic(), self._metrics
        status = 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.under_way += 1
        try:
            try:
                self._admit(scope)
                body = await self._body(scope, receive)
            except _Refused as refused:
                await _refuse(told, refused)
            else:
                await self._app(scope, _whole(body, receive), told)
        finally:
            metrics.under_way -= 1
            path = _known(scope["path"])
            seconds = time.monotonic() - began
            metrics.answered(path, _method(scope), status, seconds)
            event(
                "http",
                f"{_method(scope)} {path} {status}",
                level="error" if status >= 500 else "info",
                status=status,
                seconds=round(seconds, 4),
                client=(scope.get("client") or (None,))[0],
            )
            if status in (401, 421, 429):
                event("security", f"refused with {status}", level="warning", path=path)

    def _admit(self, scope: MutableMapping[str, Any]) -> None:
        config = self._config
        headers = {name.lower(): value for name, value in scope["headers"]}
        if config.token is None:
            host = headers.get(b"host", b"").decode("latin-1")
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if not is_loopback(name):
                raise _Refused(421, "this service answers to loopback names only")
        if scope["path"] in OPEN:
            return
        if config.token is not None:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + config.token.encode()):
                needed = "a bearer token is required: Authorization: Bearer TOKEN"
                raise _Refused(401, needed, **{"www-authenticate": "Bearer"})
        if self._metrics.under_way > config.max_requests:
            reason = f"there are {config.max_requests} requests under way already"
            raise _Refused(503, reason, **{"retry-after": "1"})
        self._pace(scope)

    def _pace(self, scope: MutableMapping[str, Any]) -> None:
        """A client may send a tenth of a minute's requests at once, and goes on at its rate."""
        rate = self._config.requests_per_minute
        if rate is None:
            return
        client, now = (scope.get("client") or ("?", 0))[0], time.monotonic()
        most = max(1.0, rate / 10)
        left, when = self._tokens.pop(client, (most, now))
        left = min(most, left + (now - when) * rate / 60)
        self._tokens[client] = (left - 1 if left >= 1 else left, now)
        while len(self._tokens) > CLIENTS:
            self._tokens.popitem(last=False)
        if left < 1:
            wait_s = int((1 - left) * 60 / rate) + 1
            reason = f"more than {rate:g} requests per minute"
            raise _Refused(429, reason, **{"retry-after": str(wait_s)})

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes:
        most = self._config.max_body_bytes
        too_large = _Refused(413, f"a request has {most:,} bytes at most")
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Refused(400, "the request ended too early")
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise _Refused(408, "the request didn't come in time") from None


def _whole(body: bytes, receive: Receive) -> Receive:
    given = False

    async def next_one() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_one


async def _refuse(send: Send, refused: _Refused) -> None:
    content = json.dumps({"error": str(refused)}).encode()
    headers = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),  # what is left of the request is not read
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _known(path: str) -> str:
    """A path for the metrics: what clients make up is one."""
    if path.startswith("/v1/runs/"):
        return "/v1/runs/{name}"
    return path if path in KNOWN else "other"


def _method(scope: MutableMapping[str, Any]) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "POST", "HEAD") else "other"
