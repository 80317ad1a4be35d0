"""Questions in Anthropic's message batches: half the price, within a day.

``--model batch:NAME``.  Questions are gathered until no more come, sent as one batch, and looked
after until it has ended.  Which batches were sent stands in a file, so that a run that is gone on
with waits for them instead of paying for their questions again.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hpc_runner.errors import (
    HpcRunnerError,
    ModelBusy,
    ModelUnavailable,
    QuestionError,
    StorageError,
)
from hpc_runner.refine.anthropic_http import Http
from hpc_runner.refine.breaker import Breaker, Patience
from hpc_runner.refine.claude import blocks, finish_of
from hpc_runner.refine.keys import Secret
from hpc_runner.refine.models import SONNETS, Route
from hpc_runner.refine.refiner import ModelSpec, Question, Reply, Usage
from hpc_runner.refine.succession import Succession
from hpc_runner.refine.trouble import Kind, Trouble, judge

PREFIX = "batch:"
PATH = "/v1/messages/batches"
DISCOUNT = 0.5
LONGEST_CALL_S = 60.0
"""Of silence: a thread waits for it, and can't be cancelled."""


@dataclass(frozen=True)
class Rhythm:
    """Seconds, and how large a batch may be (Anthropic takes 100,000 requests and 256 MB)."""

    gather_s: float = 5.0
    """Without a new question, after which a batch is sent."""
    poll_s: float = 60.0
    most_questions: int = 10_000
    most_bytes: int = 100 << 20


@dataclass
class _Asked:
    question: Question
    answer: asyncio.Future[Reply]
    began: float
    tries: int = 0
    batch: str | None = None
    """That it was sent in, and that has not ended."""


class BatchRefiner:
    """The ``Refiner`` of refiner.py that waits for batches.  Asks Anthropic's own API alone."""

    def __init__(
        self,
        spec: ModelSpec,
        route: Route,
        key: Secret,
        *,
        say: Callable[[str], None],
        patience: Patience = Patience(),
        rhythm: Rhythm = Rhythm(),
    ) -> None:
        self._spec = spec
        self._rhythm = rhythm
        self._patience = patience
        self._http = Http(spec.api_base, key, min(spec.timeout_s, LONGEST_CALL_S))
        self._breaker = Breaker("anthropic", patience)
        self._models = Succession(route, strict=spec.strict, breaker=self._breaker, say=say)
        self._say = say
        self._gathered: dict[str, _Asked] = {}
        self._sent: dict[str, _Asked] = {}
        self._more = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._earlier: dict[str, str] | None = None
        """Key of a question → batch of an earlier process that holds it."""

    @property
    def model(self) -> str:
        return str(self._models.route)

    async def ask(self, question: Question) -> Reply:
        self._breaker.check()
        loop = asyncio.get_running_loop()
        asked = _Asked(question, loop.create_future(), loop.time())
        self._put(asked)
        return await asked.answer

    async def close(self) -> None:
        """Batches that were sent go on; whoever asks again finds them in the file."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for asked in (*self._gathered.values(), *self._sent.values()):
            asked.answer.cancel()

    # Gathering

    def _put(self, asked: _Asked) -> None:
        if self._earlier is None:
            self._earlier = _read(self._spec.batches)
        key = asked.question.key
        earlier = self._earlier.pop(key, None)
        if earlier is not None:
            asked.batch = earlier
            self._sent[key] = asked
            if not any(task.get_name() == earlier and not task.done() for task in self._tasks):
                self._start(self._look_after(earlier), earlier)
            return
        if not self._gathered:
            self._start(self._gather(), "gather")
        self._gathered[key] = asked
        self._more.set()

    def _start(self, what: Any, name: str) -> None:
        task = asyncio.create_task(self._guarded(what), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, what: Any) -> None:
        """Nobody waits for these tasks: what goes wrong is told to all who wait for answers."""
        try:
            await what
            self._breaker.check()
        except Exception as error:  # whatever it is, no question may hang
            if not isinstance(error, HpcRunnerError):
                error = ModelUnavailable(f"anthropic: an answer that is none of a batch: {error!r}")
            for asked in (*self._gathered.values(), *self._sent.values()):
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            self._gathered.clear()
            self._sent.clear()

    async def _gather(self) -> None:
        while len(self._gathered) < self._rhythm.most_questions:
            self._more.clear()
            try:
                async with asyncio.timeout(self._rhythm.gather_s):
                    await self._more.wait()
            except TimeoutError:
                break
        gathered, self._gathered = self._gathered, {}
        wanted = {key: one for key, one in gathered.items() if not one.answer.done()}
        while wanted:
            part, size = {}, 0
            while wanted and size < self._rhythm.most_bytes:
                key = next(iter(wanted))
                part[key] = wanted.pop(key)
                size += sum(len(text.text) for text in part[key].question.user)
            await self._send(part)

    # A batch

    async def _send(self, part: dict[str, _Asked]) -> None:
        route = self._models.route
        self._sent |= part
        for asked in part.values():
            asked.tries += 1
        requests = [
            {"custom_id": key, "params": self._params(asked.question, route)}
            for key, asked in part.items()
        ]
        made = await self._insist(PATH, {"requests": requests})
        if isinstance(made, Trouble):
            self._not_sent(part, route, made)
            return
        batch = str(json.loads(made)["id"])
        _write(self._spec.batches, {"batch": batch, "keys": list(part)})
        for asked in part.values():
            asked.batch = batch
        self._say(f"{route}: batch {batch} of {len(part)} questions was sent")
        self._start(self._look_after(batch), batch)

    def _not_sent(self, part: dict[str, _Asked], route: Route, trouble: Trouble) -> None:
        if trouble.kind is not Kind.RETIRED:
            self._breaker.stop(f"{route}: a batch is refused: {trouble.why}")
            return
        self._models.retire(route, trouble)
        if not self._breaker.broken:
            self._again(part.values())

    def _again(self, some: Iterable[_Asked]) -> None:
        """Into the next batch."""
        for asked in list(some):
            self._sent.pop(asked.question.key, None)
            asked.batch = None
            if asked.tries < self._spec.max_tries:
                self._put(asked)
            elif not asked.answer.done():
                asked.answer.set_exception(ModelBusy(f"{self.model}: batches without its result"))

    def _params(self, question: Question, route: Route) -> dict[str, Any]:
        params: dict[str, Any] = {
            "model": route.name,
            "max_tokens": self._spec.max_output_tokens,
            "system": blocks(question.system),
            "messages": [{"role": "user", "content": blocks(question.user)}],
        }
        if route.sonnet.takes_temperature:
            params["temperature"] = self._spec.temperature
        if route.sonnet != SONNETS["4"]:  # which takes no schema; the question asks for JSON, too
            params["output_format"] = {"type": "json_schema", "schema": question.schema}
        return params

    async def _look_after(self, batch: str) -> None:
        """Until it has ended and whoever waits for it knows."""
        while True:
            found = await self._insist(f"{PATH}/{batch}")
            if isinstance(found, Trouble) or json.loads(found)["processing_status"] == "ended":
                break
            await asyncio.sleep(self._rhythm.poll_s)
        if not isinstance(found, Trouble):
            found = await self._insist(f"{PATH}/{batch}/results")
        if isinstance(found, Trouble):
            self._say(f"batch {batch} can't be had any more ({found.why}): asked anew")
        else:
            self._settle_all(found)
        self._again(asked for asked in self._sent.values() if asked.batch == batch)

    async def _insist(self, path: str, body: Any = None) -> bytes | Trouble:
        """The reply to a request that is sent until there is one.  Raises ``ModelUnavailable``.

        A ``Trouble`` is about what was asked for.
        """
        loop = asyncio.get_running_loop()
        wait_s = self._patience.backoff_s
        while True:
            found = await self._http.call(path, body)
            if isinstance(found, bytes):
                self._breaker.answered()
                return found
            if found.kind is Kind.TRANSIENT:
                self._breaker.failed(loop.time(), found)
            elif found.kind is Kind.THROTTLED:
                self._breaker.throttled(loop.time(), found)
            elif found.kind is Kind.RUN:
                self._breaker.stop(f"anthropic, {path}: {found.why}")
            else:
                return found
            self._breaker.check()
            await asyncio.sleep(max(wait_s, found.retry_after_s or 0.0))
            wait_s = min(wait_s * 2, self._patience.longest_backoff_s)

    # Results

    def _settle_all(self, results: bytes) -> None:
        route = self._models.route
        for line in results.splitlines():
            row = json.loads(line)
            asked = self._sent.pop(row["custom_id"], None)
            if asked is not None and not asked.answer.done():
                asked.batch = None
                self._settle(asked, row["result"], route)

    def _settle(self, asked: _Asked, result: dict[str, Any], route: Route) -> None:
        if result["type"] == "succeeded":
            seconds = asyncio.get_running_loop().time() - asked.began
            limit = self._spec.max_output_tokens
            asked.answer.set_result(_reply(result["message"], route, limit, seconds, asked.tries))
            return
        trouble = _trouble(result)
        if trouble.kind is Kind.RUN:
            self._breaker.stop(f"{route}: {trouble.why}")
            asked.answer.set_exception(ModelUnavailable(f"{route}: {trouble.why}"))
        elif trouble.kind is Kind.QUESTION:
            asked.answer.set_exception(QuestionError(f"{route}: {trouble.why}"))
        elif trouble.kind is Kind.RETIRED:
            self._models.retire(route, trouble)
            self._put(asked)
        elif asked.tries >= self._spec.max_tries or result["type"] == "canceled":
            asked.answer.set_exception(ModelBusy(f"{route}: {trouble.why}"))
        else:
            self._put(asked)


STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
    "overloaded_error": 529, "billing_error": 402,
}  # fmt: skip


def _trouble(result: dict[str, Any]) -> Trouble:
    """Of a question whose result isn't a message: errored, expired or canceled."""
    if result["type"] != "errored":
        return Trouble(Kind.TRANSIENT, f"its batch was {result['type']}")
    error = result["error"].get("error", result["error"])
    return judge(STATUS.get(error.get("type"), 500), str(error.get("message", "")))


def _reply(message: dict[str, Any], route: Route, limit: int, seconds: float, tries: int) -> Reply:
    text = "".join(part.get("text", "") for part in message.get("content") or ())
    told = message["usage"]
    cached = told.get("cache_read_input_tokens") or 0
    written = told.get("cache_creation_input_tokens") or 0
    prompt = told["input_tokens"] + cached + written
    completion = told["output_tokens"]
    price = route.price
    usd = price.usd(prompt, cached, written, completion) * DISCOUNT if price else None
    choice = SimpleNamespace(finish_reason=message.get("stop_reason"), message=None)
    finish = finish_of(choice, text, full=completion >= limit)
    usage = Usage(prompt, cached, completion, usd)
    return Reply(text, finish, f"anthropic/{message['model']}", usage, seconds, max(tries, 1))


# The file of batches


def _read(path: Path | None) -> dict[str, str]:
    """Key of a question → the last batch that it was sent in.  An unfinished line is nothing."""
    found: dict[str, str] = {}
    if path is not None and path.exists():
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            found |= dict.fromkeys(row["keys"], row["batch"])
    return found


def _write(path: Path | None, row: dict[str, Any]) -> None:
    """On the disk when this returns.  Raises ``StorageError``."""
    if path is None:
        return
    try:
        with path.open("a") as file:
            # A line of its own, also after one that a dying process left unfinished.
            file.write(f"\n{json.dumps(row)}\n" if file.tell() else json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{path}: {error}") from error
