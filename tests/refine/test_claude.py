"""Real litellm against a provider on loopback: what comes of everything that it may send."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import warnings
from itertools import pairwise

import pytest
from asking import KEY, MODELS, SCHEMA, ask, ask_one, claude, question, warm_up
from model_server import Action, Asked, ModelServer, Respond

from hpc_runner.errors import ModelBusy, ModelError, ModelUnavailable, QuestionError
from hpc_runner.refine.breaker import Patience
from hpc_runner.refine.refiner import Finish

ANSWER = json.dumps({"code": "def f(): return 1"})
PROVIDERS = ("openrouter", "anthropic")


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up()


pytestmark = pytest.mark.parametrize("provider", PROVIDERS)


def first(kind: str, *, times: int = 1, retry_after: str | None = None) -> Respond:
    """Something else for the first requests, then the answer."""

    def respond(asked: Asked) -> Action:
        if asked.number < times:
            return Action(kind, text=ANSWER, retry_after=retry_after)
        return Action(text=ANSWER)

    return respond


def test_an_answer_is_what_the_model_said_and_what_it_cost(provider: str) -> None:
    with ModelServer(first("answer"), key=KEY) as server:
        reply = ask_one(claude(server, provider))
    assert (reply.text, reply.finish, reply.tries) == (ANSWER, Finish.STOP, 1)
    assert reply.model == MODELS[provider]
    assert reply.usage.prompt_tokens == server.counts.prompt_tokens > 0
    assert reply.usage.completion_tokens == server.counts.completion_tokens > 0
    assert reply.usage.usd == pytest.approx(server.counts.usd)


def test_what_is_sent(provider: str) -> None:
    with ModelServer(first("answer")) as server:
        ask_one(claude(server, provider))
        (asked,) = server.asked
    body = asked.body
    assert body["max_tokens"] == 8000 and body["temperature"] == 0.1
    assert "tools" not in body and "tool_choice" not in body
    assert json.dumps(SCHEMA)[1:-1] in json.dumps(body).replace(', "strict": true', "")
    contents = [body["system"]] if provider == "anthropic" else []
    contents += [message["content"] for message in body["messages"]]
    marked = [[("cache_control" in block) for block in content] for content in contents]
    assert marked == [[False, True], [True, False]]
    assert [message["role"] for message in body["messages"]][-1] == "user"
    if provider == "openrouter":
        assert asked.headers["http-referer"] == "https://github.com/alita-kgot-enhanced"
        assert asked.headers["x-title"] == "Alita KGoT Code Runner - Claude 4 Sonnet"


@pytest.mark.parametrize("version", ["5", "5-5"])
def test_later_sonnets_get_no_temperature_and_no_tool(provider: str, version: str) -> None:
    name = f"openrouter/anthropic/claude-sonnet-{version}"
    name = name if provider == "openrouter" else f"anthropic/claude-sonnet-{version}"
    with ModelServer(first("answer")) as server:
        reply = ask_one(claude(server, provider, model=name))
        (asked,) = server.asked
    assert not {"temperature", "top_p", "tools", "tool_choice"} & asked.body.keys()
    assert asked.model.endswith(version.replace("-", ".") if provider == "openrouter" else version)
    assert reply.text == ANSWER


def test_the_second_question_finds_its_beginning_in_the_cache(provider: str) -> None:
    with ModelServer(first("answer")) as server:
        refiner = claude(server, provider, concurrency=1)
        replies = ask(refiner, question("a"), question("b"))
    cached = [reply.usage.cached_tokens for reply in replies]
    assert cached[0] == 0 and cached[1] == server.counts.cached_tokens > 0
    bill = sum(reply.usage.usd for reply in replies)
    assert bill == pytest.approx(server.counts.usd)


@pytest.mark.parametrize(
    "kind", ["error", "overloaded", "drop", "reset", "html", "not_json", "error_in_200"]
)
def test_what_passes_is_tried_again(provider: str, kind: str) -> None:
    with ModelServer(first(kind, times=2)) as server:
        reply = ask_one(claude(server, provider))
    assert reply.text == ANSWER
    assert reply.tries == server.counts.requests == 3  # litellm sends nothing by itself


@pytest.mark.parametrize("kind", ["error", "html", "reset"])
def test_what_does_not_pass_is_given_up_for_now(provider: str, kind: str) -> None:
    busy = pytest.raises(ModelBusy, match="3 requests failed")
    with ModelServer(first(kind, times=99)) as server, busy:
        ask_one(claude(server, provider))
    assert server.counts.requests == 3


def test_a_request_that_hangs_is_ended(provider: str) -> None:
    with ModelServer(first("hang")) as server:
        reply = ask_one(claude(server, provider, timeout_s=2.0))
    assert reply.text == ANSWER and reply.seconds >= 2.0
    assert reply.tries >= 2  # more on a machine that is slow


def test_a_slow_answer_is_waited_for(provider: str) -> None:
    with ModelServer(lambda asked: Action(text=ANSWER, delay_s=1.0)) as server:
        reply = ask_one(claude(server, provider))
    assert reply.tries == 1 and reply.seconds >= 1.0


def test_too_many_requests_are_no_failure_and_the_wait_is_kept(provider: str) -> None:
    times = []

    def respond(asked: Asked) -> Action:
        times.append(time.monotonic())
        return first("rate_limit", times=3, retry_after="0.3")(asked)

    with ModelServer(respond) as server:
        reply = ask_one(claude(server, provider, max_tries=1))
    assert reply.tries == 4  # more than the tries that failures have
    assert all(later - sooner >= 0.29 for sooner, later in pairwise(times))


def test_a_truncated_answer_is_said_to_be_one(provider: str) -> None:
    with ModelServer(first("length")) as server:
        reply = ask_one(claude(server, provider))
    assert (reply.finish, reply.tries) == (Finish.LENGTH, 1)


def test_a_truncation_that_is_hidden_as_an_empty_object_is_seen(provider: str) -> None:
    """litellm does so for Sonnets that it asks for JSON by way of a tool."""
    old = {"anthropic": "anthropic/claude-sonnet-4-20250514"}
    text = ANSWER if provider == "anthropic" else "{}"

    def respond(asked: Asked) -> Action:
        kind = "length" if provider == "anthropic" else "answer"
        return Action(kind, text=text, completion_tokens=8000)

    with ModelServer(respond) as server:
        reply = ask_one(claude(server, provider, model=old.get(provider)))
    assert (reply.text, reply.finish) == ("{}", Finish.LENGTH)
    assert reply.usage.usd == pytest.approx(server.counts.usd)


def test_empty_and_refused_are_told_apart(provider: str) -> None:
    with ModelServer(lambda asked: Action("refusal" if asked.number else "empty")) as server:
        refiner = claude(server, provider, concurrency=1)
        empty, refused = ask(refiner, question("a"), question("b"))
    assert empty.finish is Finish.EMPTY and refused.finish is Finish.REFUSAL
    assert empty.usage.usd > 0


def test_a_wrong_schema_is_the_callers_to_judge(provider: str) -> None:
    with ModelServer(lambda asked: Action(text='{"kode": 1}')) as server:
        reply = ask_one(claude(server, provider))
    assert (reply.text, reply.finish) == ('{"kode": 1}', Finish.STOP)


@pytest.mark.parametrize("kind", ["too_long", "bad_request"])
def test_a_question_that_is_refused_costs_no_other_one(provider: str, kind: str) -> None:
    def respond(asked: Asked) -> Action:
        return Action(kind if "long" in asked.prompt else "answer", text=ANSWER)

    with ModelServer(respond) as server:
        refused, answered = ask(claude(server, provider), question("long"), question("b"))
    assert isinstance(refused, QuestionError)
    assert answered.text == ANSWER
    assert server.counts.requests == 2


def test_when_every_question_is_refused_asking_ends(provider: str) -> None:
    patience = Patience(in_a_row=5)
    with ModelServer(lambda asked: Action("bad_request")) as server:
        refiner = claude(server, provider, patience=patience, concurrency=1)
        found = ask(refiner, *(question(str(number)) for number in range(50)))
    assert isinstance(found[0], QuestionError) and isinstance(found[-1], ModelUnavailable)
    assert server.counts.requests == 5
    assert "refuses every question" in str(found[-1])


def test_a_wrong_key_ends_asking_at_once(provider: str) -> None:
    with ModelServer(first("answer"), key="another") as server:
        refiner = claude(server, provider, concurrency=1)
        found = ask(refiner, *(question(str(number)) for number in range(20)))
    assert all(isinstance(item, ModelUnavailable) for item in found)
    assert "the key isn't accepted" in str(found[0])
    assert server.counts.requests == 1


def test_no_credit_ends_asking(provider: str) -> None:
    ended = pytest.raises(ModelUnavailable, match="no credit left")
    with ModelServer(lambda asked: Action("no_credit")) as server, ended:
        ask_one(claude(server, provider))


def test_a_provider_that_is_down_is_not_asked_for_ever(provider: str) -> None:
    """No question is given up for it: all of them may be asked again when it is back."""
    patience = Patience(backoff_s=0.02, in_a_row=6, down_s=0.4)
    with ModelServer(lambda asked: Action("overloaded")) as server:
        refiner = claude(server, provider, patience=patience, concurrency=4, max_tries=3)
        found = ask(refiner, *(question(str(number)) for number in range(30)))
    gone = [item for item in found if isinstance(item, ModelUnavailable)]
    assert len(gone) >= 28 and "doesn't answer" in str(gone[-1])
    assert server.counts.requests < 60


def test_a_refused_connection_is_a_provider_that_is_down(provider: str) -> None:
    with ModelServer(first("answer")) as server:
        refiner = claude(server, provider)
    with pytest.raises(ModelBusy):
        ask_one(refiner)


# Retired models


def retired(*gone: str) -> Respond:
    def respond(asked: Asked) -> Action:
        return Action("retired" if asked.model in gone else "answer", text=ANSWER)

    return respond


SUCCESSION = {
    "openrouter": ["anthropic/claude-sonnet-4", "anthropic/claude-sonnet-4.6"],
    "anthropic": ["claude-sonnet-4-6", "claude-sonnet-5"],
}


def test_the_successor_of_a_retired_model_is_taken_once_and_loudly(provider: str) -> None:
    said: list[str] = []
    before, after = SUCCESSION[provider]
    with ModelServer(retired(before)) as server:
        refiner = claude(server, provider, said=said, concurrency=3)
        replies = ask(refiner, *(question(str(number)) for number in range(10)))
    assert {reply.model for reply in replies} == {f"{provider}/{after}"}
    assert refiner.model == f"{provider}/{after}"
    assert len(said) == 1 and before in said[0] and after in said[0]
    assert server.counts.models[before] <= 3


def test_strict_model_stops_instead(provider: str) -> None:
    stopped = pytest.raises(ModelUnavailable, match="strict_model")
    with ModelServer(retired(SUCCESSION[provider][0])) as server, stopped:
        ask_one(claude(server, provider, strict=True))
    assert server.counts.requests == 1


def test_a_wrong_address_is_no_retired_model(provider: str) -> None:
    said: list[str] = []
    with ModelServer(first("answer")) as server:
        refiner = claude(
            server, provider, said=said, api_base=server.api_base("openrouter") + "/nothing"
        )
        with pytest.raises(ModelUnavailable, match="isn't where the model is asked"):
            ask_one(refiner)
    assert said == []


# Prices


def test_without_the_providers_figure_the_registered_price_counts(provider: str) -> None:
    with ModelServer(lambda asked: Action(text=ANSWER, cost=False)) as server:
        reply = ask_one(claude(server, provider))
    assert reply.usage.usd == pytest.approx(server.counts.usd)


def test_without_any_price_the_cost_is_unknown(provider: str) -> None:
    name = {"openrouter": "openrouter/anthropic/claude-sonnet-9", "anthropic": "claude-sonnet-9"}
    with ModelServer(lambda asked: Action(text=ANSWER, cost=False)) as server:
        reply = ask_one(claude(server, provider, model=name[provider]))
    assert reply.usage.usd is None and reply.usage.prompt_tokens > 0


# Ends, and secrets


def test_cancelling_sends_nothing_more_and_leaves_nothing(provider: str) -> None:
    async def cancelled(server: ModelServer) -> None:
        refiner = claude(server, provider, concurrency=2)
        tasks = [asyncio.create_task(refiner.ask(question(str(n)))) for n in range(10)]
        while server.counts.requests < 2:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(item, asyncio.CancelledError) for item in found)
        await refiner.close()
        await refiner.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert [task for task in left if "logging_worker" not in repr(task).lower()] == []

    with ModelServer(lambda asked: Action("hang")) as server:
        asyncio.run(cancelled(server))
        assert server.counts.requests == 2


@pytest.mark.parametrize("kind", ["wrong_key", "error", "bad_request", "html", "retired"])
def test_the_key_is_in_no_error_and_no_log(
    provider: str, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    told = Action(kind, text=KEY, message=f"model: you sent {KEY}")  # some providers do
    with ModelServer(lambda asked: told) as server:
        refiner = claude(server, provider, said=said)
        with pytest.raises(ModelError) as caught:
            ask_one(refiner)
    lines = traceback.format_exception(caught.value)
    seen = "".join(lines) + caplog.text + "".join(capfd.readouterr()) + repr(vars(refiner))
    error: BaseException | None = caught.value
    while error is not None:
        seen += repr(error) + repr(vars(error))
        error = error.__cause__ or error.__context__
    assert KEY not in seen + "".join(said)
