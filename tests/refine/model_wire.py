"""What OpenRouter and Anthropic put on the wire: replies, whole and as streams, over HTTP/1.1."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

Bill = tuple[int, int, int, float | None]
"""Tokens of the prompt, those of them from the cache, of the answer; dollars, None: not told."""


def blocks(body: dict[str, Any]) -> list[tuple[str, bool]]:
    """Texts of the messages in order, and whether each is marked for caching."""
    found = []
    for content in [body.get("system", ""), *(item["content"] for item in body["messages"])]:
        parts = [{"text": content}] if isinstance(content, str) else content
        found += [(part.get("text", ""), "cache_control" in part) for part in parts]
    return [(text, marked) for text, marked in found if text]


def tokens(text: str) -> int:
    return -(-len(text) // 4)


def openrouter_reply(
    number: int, body: dict[str, Any], kind: str, text: str, bill: Bill
) -> dict[str, Any]:
    prompt, cached, completion, usd = bill
    message: dict[str, Any] = {"role": "assistant", "content": text}
    finish = {"length": "length", "refusal": "content_filter"}.get(kind, "stop")
    if kind == "refusal":
        message["refusal"] = "I can't help with that."
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    if usd is not None:
        usage["cost"] = usd
    return {
        "id": f"gen-{number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "provider": "Anthropic",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage,
    }


def anthropic_reply(
    number: int, body: dict[str, Any], kind: str, text: str, bill: Bill
) -> dict[str, Any]:
    prompt, cached, completion, _ = bill
    tool = next(iter(body.get("tools") or ()), None)
    stop = {"length": "max_tokens", "refusal": "refusal"}.get(kind, "end_turn")
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if tool is not None and text:  # asked for JSON by way of a tool, as older models are
        stop = "tool_use" if stop == "end_turn" else stop
        values = {} if kind == "length" else json.loads(text)
        content = [{"type": "tool_use", "id": "toolu_1", "name": tool["name"], "input": values}]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": prompt - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": completion,
        },
    }


# HTTP


def header(
    status: int, length: int | None, kind: str, extra: dict[str, str] | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"content-type: {kind}"]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def reset(writer: asyncio.StreamWriter) -> bool:
    """End the connection as a machine does that goes down: a reset, not an end."""
    now = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    writer.transport.abort()
    return False


async def send(
    writer: asyncio.StreamWriter,
    status: int,
    body: str,
    *,
    kind: str = "application/json",
    extra: dict[str, str] | None = None,
) -> bool:
    data = body.encode()
    writer.write(header(status, len(data), kind, extra) + data)
    await writer.drain()
    return True


async def stream(
    writer: asyncio.StreamWriter,
    api: str,
    reply: dict[str, Any],
    over: asyncio.Event,
    stall: bool,
) -> bool:
    """The reply as server-sent events, its text in pieces of 20 characters.

    With ``stall`` nothing comes after the third event until the server is told to end.
    """
    writer.write(header(200, None, "text/event-stream"))
    events = (openrouter_events if api == "openrouter" else anthropic_events)(reply)
    for number, event in enumerate(events):
        if stall and number == 3:
            await over.wait()
        data = event.encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def pieces(text: str) -> list[str]:
    return [text[start : start + 20] for start in range(0, len(text), 20)]


def openrouter_events(reply: dict[str, Any]) -> list[str]:
    choice = reply["choices"][0]
    base = {name: reply[name] for name in ("id", "created", "model")}
    base["object"] = "chat.completion.chunk"
    deltas = [
        {"role": "assistant", "content": part} for part in pieces(choice["message"]["content"])
    ]
    rows = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    rows += [{**base, "choices": [end]}, {**base, "choices": [], "usage": reply["usage"]}]
    # OpenRouter sends comments while it waits, which a client must overlook.
    return [": OPENROUTER PROCESSING\n\n", *(f"data: {json.dumps(row)}\n\n" for row in rows),
            "data: [DONE]\n\n"]  # fmt: skip


def anthropic_events(reply: dict[str, Any]) -> list[str]:
    rows: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**reply, "content": [], "stop_reason": None}},
        {"type": "ping"},
    ]
    for index, block in enumerate(reply["content"]):
        text = block["type"] == "text"
        opened = {**block, **({"text": ""} if text else {"input": {}})}
        rows.append({"type": "content_block_start", "index": index, "content_block": opened})
        whole = block["text"] if text else json.dumps(block["input"])
        for part in pieces(whole):
            delta = (
                {"type": "text_delta", "text": part}
                if text
                else {"type": "input_json_delta", "partial_json": part}
            )
            rows.append({"type": "content_block_delta", "index": index, "delta": delta})
        rows.append({"type": "content_block_stop", "index": index})
    rows += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reply["stop_reason"], "stop_sequence": None},
            "usage": {"output_tokens": reply["usage"]["output_tokens"]},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {row['type']}\ndata: {json.dumps(row)}\n\n" for row in rows]
