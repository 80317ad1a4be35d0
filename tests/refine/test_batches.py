"""Message batches: half the price, one batch for many questions, and none is paid for twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from asking import HASTE, KEY, question
from model_server import Action, Asked, ModelServer
from test_refinement import RIGHT, answers, finish, program, refined, refined_run

from hpc_runner.errors import ConfigError, ModelBusy, ModelUnavailable, QuestionError
from hpc_runner.refine.batches import BatchRefiner, Rhythm
from hpc_runner.refine.factory import make_refiner
from hpc_runner.refine.keys import Secret
from hpc_runner.refine.models import parse_model
from hpc_runner.refine.refiner import Finish, ModelSpec, Question, Reply

ANSWER = json.dumps({"code": "def f(): return 1"})
QUICK = Rhythm(gather_s=0.05, poll_s=0.05)


def refiner(
    server: ModelServer,
    *,
    model: str = "anthropic/claude-sonnet-4-6",
    said: list[str] | None = None,
    rhythm: Rhythm = QUICK,
    **spec: Any,
) -> BatchRefiner:
    return BatchRefiner(
        ModelSpec(name=f"batch:{model}", api_base=server.api_base("anthropic"), **spec),
        parse_model(model),
        Secret(KEY),
        say=(said if said is not None else []).append,
        patience=HASTE,
        rhythm=rhythm,
    )


def keyed(number: int) -> Question:
    return question(f"program {number}", key=f"{number:064x}")


def ask(asked: BatchRefiner, *questions: Question) -> list[Any]:
    async def all_of_them() -> list[Reply | BaseException]:
        try:
            return await asyncio.gather(*map(asked.ask, questions), return_exceptions=True)
        finally:
            await asked.close()

    return asyncio.run(asyncio.wait_for(all_of_them(), 20))


def test_many_questions_are_one_batch_at_half_the_price() -> None:
    with ModelServer(lambda asked: Action(text=ANSWER), key=KEY) as server:
        replies = ask(refiner(server), *map(keyed, range(50)))
        assert list(map(len, server.batches.made.values())) == [50]
    assert {reply.text for reply in replies} == {ANSWER}
    assert {reply.model for reply in replies} == {"anthropic/claude-sonnet-4-6"}
    counts = server.counts
    bill = sum(reply.usage.usd for reply in replies)
    whole = (counts.prompt_tokens - counts.cached_tokens) * 3 + counts.cached_tokens * 0.3
    assert bill == pytest.approx(counts.usd)
    assert bill == pytest.approx((whole + counts.completion_tokens * 15) * 1e-6 / 2)


def test_what_is_sent_is_what_the_model_takes() -> None:
    with ModelServer(lambda asked: Action(text=ANSWER)) as server:
        ask(refiner(server), keyed(0))
        ask(refiner(server, model="anthropic/claude-sonnet-5-5"), keyed(1))
        old, new = (asked.body for asked in server.asked)
    assert old["temperature"] == 0.1 and "temperature" not in new
    assert new["output_format"]["schema"] == dict(keyed(1).schema)
    assert "cache_control" in old["system"][-1] and "tools" not in old


def test_a_batch_that_takes_long_is_waited_for_and_questions_come_in_parts() -> None:
    with ModelServer(lambda asked: Action(text=ANSWER)) as server:
        server.batches.takes_s = 0.3
        rhythm = Rhythm(gather_s=0.05, poll_s=0.05, most_bytes=20)
        replies = ask(refiner(server, rhythm=rhythm), *map(keyed, range(5)))
    assert all(reply.seconds >= 0.3 for reply in replies)
    assert len(server.batches.made) > 1
    sent = [key for keys in server.batches.made.values() for key in keys]
    assert sorted(sent) == [keyed(n).key for n in range(5)]


def test_each_result_has_its_meaning() -> None:
    kinds = ["answer", "length", "refusal", "empty", "bad_request", "too_long"]

    def respond(asked: Asked) -> Action:
        return Action(kinds[int(asked.prompt.rsplit(" ", 1)[1])], text=ANSWER)

    with ModelServer(respond) as server:
        found = ask(refiner(server), *map(keyed, range(len(kinds))))
    assert [item.finish for item in found[:4]] == [
        Finish.STOP, Finish.LENGTH, Finish.REFUSAL, Finish.EMPTY,
    ]  # fmt: skip
    assert all(isinstance(item, QuestionError) for item in found[4:])


@pytest.mark.parametrize("kind", ["expired", "overloaded", "error"])
def test_what_passes_is_in_the_next_batch(kind: str) -> None:
    def respond(asked: Asked) -> Action:
        return Action("answer" if asked.number >= 3 else kind, text=ANSWER)

    with ModelServer(respond) as server:
        replies = ask(refiner(server), *map(keyed, range(3)))
    assert [reply.tries for reply in replies] == [2, 2, 2]
    assert len(server.batches.made) == 2


def test_what_does_not_pass_is_given_up_for_now() -> None:
    with ModelServer(lambda asked: Action("error")) as server:
        (found,) = ask(refiner(server, max_tries=2), keyed(0))
    assert isinstance(found, ModelBusy) and server.counts.requests == 2


def test_troubles_on_the_way_are_none() -> None:
    with ModelServer(lambda asked: Action(text=ANSWER)) as server:
        server.batches.refuse = [(529, "overloaded_error"), (429, "rate_limit_error")]
        (reply,) = ask(refiner(server), keyed(0))
    assert reply.text == ANSWER and server.counts.answers == 1


def test_a_wrong_key_ends_asking() -> None:
    with ModelServer(lambda asked: Action(text=ANSWER), key="another") as server:
        found = ask(refiner(server), *map(keyed, range(3)))
    assert all(isinstance(item, ModelUnavailable) for item in found)
    assert KEY not in str(found[0]) and "the key isn't accepted" in str(found[0])


def test_a_retired_model_has_a_successor_unless_it_is_strict() -> None:
    def respond(asked: Asked) -> Action:
        return Action("retired" if asked.model == "claude-sonnet-4-6" else "answer", text=ANSWER)

    said: list[str] = []
    with ModelServer(respond) as server:
        replies = ask(refiner(server, said=said), *map(keyed, range(3)))
        (stopped,) = ask(refiner(server, strict=True), keyed(4))
    assert {reply.model for reply in replies} == {"anthropic/claude-sonnet-5"}
    assert sum("is gone" in line for line in said) == 1
    assert isinstance(stopped, ModelUnavailable) and "strict_model" in str(stopped)


def killed(server: ModelServer, state: Path, *questions: Question) -> None:
    """A process that asks and dies while it waits."""

    async def asked_and_left() -> None:
        one = refiner(server, batches=state)
        tasks = [asyncio.create_task(one.ask(item)) for item in questions]
        while not state.exists():
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await one.close()

    asyncio.run(asyncio.wait_for(asked_and_left(), 20))


def test_who_goes_on_waits_for_the_batch_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    state = tmp_path / "batches.jsonl"
    with ModelServer(lambda asked: Action(text=ANSWER)) as server:
        server.batches.takes_s = 0.5
        killed(server, state, *map(keyed, range(3)))
        with state.open("a") as file:
            file.write('{"batch": "msgb')  # it died while it wrote
        replies = ask(refiner(server, batches=state), *map(keyed, range(5)))
        again = ask(refiner(server, batches=state), keyed(4))
    assert [reply.text for reply in replies + again] == [ANSWER] * 6
    assert set(server.counts.paid.values()) == {1} and server.counts.answers == 5


def test_a_batch_that_the_provider_has_forgotten_is_asked_anew(tmp_path: Path) -> None:
    state, said = tmp_path / "batches.jsonl", []
    state.write_text(json.dumps({"batch": "msgbatch_gone", "keys": [keyed(0).key]}) + "\n")
    with ModelServer(lambda asked: Action(text=ANSWER)) as server:
        (reply,) = ask(refiner(server, batches=state, said=said), keyed(0))
    assert reply.text == ANSWER and "can't be had any more" in said[0]


def test_only_anthropics_own_api_takes_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert make_refiner(ModelSpec(name="batch:anthropic/claude-sonnet-5")).model == (
        "anthropic/claude-sonnet-5"
    )
    with pytest.raises(ConfigError, match="only Anthropic's own API takes batches"):
        make_refiner(ModelSpec(name="batch:openrouter/anthropic/claude-sonnet-4"))


def test_a_run_is_refined_by_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    mended = json.dumps({"explanation": "so", "code": RIGHT})
    corpus = [program(str(task), f"def f(x):\n    return x + {task}\n") for task in (2, 3, 4)]
    with ModelServer(lambda asked: Action(text=mended), key=KEY) as server:
        run = refined_run(
            tmp_path,
            corpus,
            [],
            model="batch:anthropic/claude-sonnet-4-6",
            api_base=server.api_base("anthropic"),
        )
        finish(run)
        made = sorted(key for keys in server.batches.made.values() for key in keys)
    ledger = answers(run)
    assert sum(row["usd"] for row in ledger) == pytest.approx(server.counts.usd)
    assert {row["reason"] for row in refined(run).values()} == {None}
    sent = [json.loads(line)["keys"] for line in run.batches.read_text().splitlines() if line]
    assert (
        sorted(row["key"] for row in ledger) == made == sorted(key for keys in sent for key in keys)
    )
    for path in run.root.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
