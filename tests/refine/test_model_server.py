"""The stand-in for a model's provider counts what it sends, whole and streamed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from model_server import Action, ModelServer, scripted

BODY = {"model": "anthropic/claude-sonnet-4", "max_tokens": 50}
MESSAGES = [{"role": "user", "content": "mend it"}]


def post(url: str, **fields: object) -> str:
    data = json.dumps({**BODY, "messages": MESSAGES, **fields}).encode()
    with urlopen(Request(url, data, {"content-type": "application/json"})) as reply:  # noqa: S310
        return str(reply.read().decode())


def test_it_bills_what_it_says() -> None:
    with ModelServer(lambda asked: Action(text="x" * 40)) as server:
        url = f"{server.api_base('openrouter')}/chat/completions"
        bills = [json.loads(post(url))["usage"] for _ in range(2)]
    assert sum(bill["cost"] for bill in bills) == pytest.approx(server.counts.usd)
    assert server.counts.answers == 2 and list(server.counts.paid.values()) == [2]
    assert [asked.seen for asked in server.asked] == [0, 1]


def test_what_is_marked_and_sent_again_comes_from_the_cache() -> None:
    system = [{"type": "text", "text": "r" * 400, "cache_control": {"type": "ephemeral"}}]
    with ModelServer(lambda asked: Action()) as server:
        url = f"{server.api_base('anthropic')}/v1/messages"
        usage = [json.loads(post(url, system=system))["usage"] for _ in range(2)]
    assert [item["cache_read_input_tokens"] for item in usage] == [0, 100]


@pytest.mark.parametrize(
    ("api", "path"), [("openrouter", "/chat/completions"), ("anthropic", "/v1/messages")]
)
def test_a_stream_holds_the_whole_text(api: str, path: str) -> None:
    text = "a text that is longer than one piece of twenty characters"
    with ModelServer(lambda asked: Action(text=text)) as server:
        events = post(server.api_base(api) + path, stream=True)
    rows = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    if api == "openrouter":
        parts = [row["choices"][0]["delta"].get("content", "") for row in rows if row["choices"]]
    else:
        parts = [row["delta"]["text"] for row in rows if row["type"] == "content_block_delta"]
    assert "".join(parts) == text and len(parts) > 2


def test_it_is_a_program_too(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    rules = [{"kind": "answer", "seen": 0, "text": "first"}, {"text": {"code": "second"}}]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    command = [sys.executable, Path(__file__).with_name("model_server.py"), "--script", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            base = server.stdout.readline().split()[1]
            texts = [
                json.loads(post(f"{base}/chat/completions"))["choices"][0]["message"]["content"]
                for _ in range(2)
            ]
            with urlopen(base.replace("/api/v1", "/counts")) as counts:  # noqa: S310
                told = json.load(counts)
        finally:
            server.kill()
    assert texts == ["first", '{"code": "second"}'] and told["answers"] == 2


def test_a_rule_is_good_for_as_often_as_it_says(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"times": 2, "kind": "answer", "text": "a"}\n{"text": "b"}\n')
    with ModelServer(scripted(script)) as server:
        url = f"{server.api_base('openrouter')}/chat/completions"
        texts = [json.loads(post(url))["choices"][0]["message"]["content"] for _ in range(3)]
    assert texts == ["a", "a", "b"]
