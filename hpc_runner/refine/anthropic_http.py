"""Anthropic's HTTP for message batches, which litellm can't make.  Standard library only."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from typing import IO, Any

from hpc_runner.refine.keys import Secret
from hpc_runner.refine.trouble import Kind, Trouble, judge

HOME = "https://api.anthropic.com"
HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "structured-outputs-2025-11-13",
    "content-type": "application/json",
}


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Http:
    """Requests below ``base``; a proxy of the environment is used.  Keeps no connection."""

    def __init__(self, base: str | None, key: Secret, timeout_s: float) -> None:
        self._base = (base or HOME).rstrip("/")
        self._key = key
        self._timeout_s = timeout_s

    async def call(self, path: str, body: Any = None) -> bytes | Trouble:
        """What comes back of a GET, or of a POST of ``body``.  Sent once, from a thread."""
        return await asyncio.to_thread(self._call, path, body)

    def _call(self, path: str, body: Any) -> bytes | Trouble:
        request = urllib.request.Request(  # noqa: S310 - the base is the user's, or HOME
            self._base + path,
            None if body is None else json.dumps(body).encode(),
            {**HEADERS, "x-api-key": self._key.reveal()},
        )
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(request, timeout=self._timeout_s) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                words = self._key.hide_in(_text(error))
                return judge(error.code, words, error.headers.get("retry-after"))
        except (OSError, http.client.HTTPException) as error:
            return Trouble(Kind.TRANSIENT, self._key.hide_in(str(error)))


def _text(body: IO[bytes]) -> str:
    try:
        return body.read(1 << 16).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
