"""Anthropic's message batches, of the model on loopback, at half the price."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from model_wire import send

if TYPE_CHECKING:
    from model_server import ModelServer

PATH = "/v1/messages/batches"


class Batches:
    """A batch ends ``takes_s`` after it was made.  ``made`` holds the keys of each."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.takes_s = 0.0
        self.made: dict[str, list[str]] = {}
        self.refuse: list[tuple[int, str]] = []
        """Status and type of errors for the next requests, whatever they are."""
        self._ends: dict[str, float] = {}
        self._rows: dict[str, list[str]] = {}

    async def serve(
        self, path: str, data: bytes, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        if self.server.key is not None and headers.get("x-api-key") != self.server.key:
            return await self._error(writer, 401, "authentication_error")
        if self.refuse:
            return await self._error(writer, *self.refuse.pop(0))
        if path == PATH:
            return await send(writer, 200, json.dumps(self._make(json.loads(data), headers)))
        batch, _, results = path.removeprefix(PATH + "/").partition("/")
        if batch not in self.made:
            return await self._error(writer, 404, "not_found_error")
        if results:
            return await send(writer, 200, "\n".join(self._rows[batch]), kind="application/x-jsonl")
        return await send(writer, 200, json.dumps(self._status(batch)))

    async def _error(self, writer: asyncio.StreamWriter, status: int, kind: str) -> bool:
        error = {"type": "error", "error": {"type": kind, "message": kind}}
        return await send(writer, status, json.dumps(error))

    def _make(self, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        batch = f"msgbatch_{len(self.made)}"
        keys = [request["custom_id"] for request in body["requests"]]
        assert len(set(keys)) == len(keys)
        self.made[batch] = keys
        self._ends[batch] = time.monotonic() + self.takes_s
        self._rows[batch] = [
            json.dumps({"custom_id": one["custom_id"], "result": self._result(one, headers)})
            for one in reversed(body["requests"])  # results come in any order
        ]
        return self._status(batch)

    def _result(self, request: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        from model_server import ERRORS

        asked = self.server.ask("anthropic", request["params"], headers)
        action = self.server.action(asked)
        self.server.counts.kinds[action.kind] += 1
        if action.kind == "expired":
            return {"type": "expired"}
        if action.kind in ERRORS:
            _, kind, message = ERRORS[action.kind]
            error = {"type": kind, "message": message.format(model=asked.model)}
            return {"type": "errored", "error": {"type": "error", "error": error}}
        return {"type": "succeeded", "message": self.server.pay(asked, action, 0.5)}

    def _status(self, batch: str) -> dict[str, Any]:
        ended = time.monotonic() >= self._ends[batch]
        status = "ended" if ended else "in_progress"
        return {"id": batch, "type": "message_batch", "processing_status": status}
