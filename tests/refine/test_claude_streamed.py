"""Answers that are sent as they are made come to the same as those that are sent whole."""

from __future__ import annotations

import json
import warnings

import pytest
from asking import ask, ask_one, claude, question, warm_up
from model_server import Action, Asked, ModelServer, Respond

from hpc_runner.errors import ModelUnavailable
from hpc_runner.refine.refiner import Finish

ANSWER = json.dumps({"code": "def f():\n    return 'much longer than twenty characters'\n"})


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up(stream=True)


pytestmark = [
    pytest.mark.parametrize("provider", ["openrouter", "anthropic"]),
    # pydantic's, of what litellm does
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_"),
]


def once(kind: str) -> Respond:
    return lambda asked: Action("answer" if asked.number else kind, text=ANSWER, retry_after="0.1")


def test_text_and_bill_are_the_servers(provider: str) -> None:
    with ModelServer(once("answer")) as server:
        replies = ask(claude(server, provider, stream=True), *map(question, "abc"))
        assert all(asked.body["stream"] for asked in server.asked)
    assert [reply.text for reply in replies] == [ANSWER] * 3
    assert {reply.finish for reply in replies} == {Finish.STOP}
    bill = sum(reply.usage.usd for reply in replies)
    assert bill == pytest.approx(server.counts.usd)
    cached = sum(reply.usage.cached_tokens for reply in replies)
    assert cached == server.counts.cached_tokens


@pytest.mark.parametrize("kind", ["error", "overloaded", "reset", "drop", "html", "rate_limit"])
def test_what_passes_is_tried_again(provider: str, kind: str) -> None:
    with ModelServer(once(kind)) as server:
        reply = ask_one(claude(server, provider, stream=True))
    assert (reply.text, reply.tries, server.counts.requests) == (ANSWER, 2, 2)


def test_a_stream_that_stops_in_the_middle_is_ended(provider: str) -> None:
    with ModelServer(once("stall")) as server:
        reply = ask_one(claude(server, provider, stream=True, timeout_s=2.0))
    assert reply.text == ANSWER and reply.tries >= 2


@pytest.mark.parametrize(
    ("kind", "finish"),
    [("length", Finish.LENGTH), ("refusal", Finish.REFUSAL), ("empty", Finish.EMPTY)],
)
def test_ends_are_told_apart(provider: str, kind: str, finish: Finish) -> None:
    with ModelServer(once(kind)) as server:
        assert ask_one(claude(server, provider, stream=True)).finish is finish


def test_a_wrong_key_and_a_retired_model_are_seen(provider: str) -> None:
    said: list[str] = []

    def gone(asked: Asked) -> Action:
        return Action("retired" if asked.number == 0 else "answer", text=ANSWER)

    with ModelServer(gone) as server:
        assert ask_one(claude(server, provider, stream=True, said=said)).text == ANSWER
    assert len(said) == 1
    ended = pytest.raises(ModelUnavailable, match="the key isn't accepted")
    with ModelServer(gone, key="another") as server, ended:
        ask_one(claude(server, provider, stream=True))
