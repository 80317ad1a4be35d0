"""Questions to a model, many at a time, on a thread of their own; the ledger comes first.

a failure → the ledger has the answer, or the model is asked and the ledger is told
          → a program, or why there is none; what is of no use is asked once more
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hpc_runner.config import RefineConfig
from hpc_runner.errors import HpcRunnerError, ModelBusy, ModelUnavailable, QuestionError
from hpc_runner.refine import convergence
from hpc_runner.refine.answers import Unusable, program_in
from hpc_runner.refine.batches import PREFIX as BATCH
from hpc_runner.refine.budget import Budget
from hpc_runner.refine.convergence import Reason
from hpc_runner.refine.failures import Failure
from hpc_runner.refine.ledger import Answer, Answers
from hpc_runner.refine.prompt import CODE_CHARS, Example, ask
from hpc_runner.refine.refiner import Question, Refiner
from hpc_runner.refine.strategies import Strategy

__all__ = ["Asking", "Choice", "Settled"]

AGAIN = 1
"""How often a question is asked again whose answer was of no use."""
TELL_S = 30.0
"""How often people are told that it goes on."""
IN_BATCHES = 10_000
"""Questions at a time that wait for batches: the more of them, the fewer batches."""
DRAIN_S = 60.0
"""What requests under way get when no more are wanted: they are paid for already."""

T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """How to ask about a failure."""

    strategy: Strategy
    examples: tuple[Example, ...] = ()


@dataclass
class Settled:
    """What came of a failure, or of a cluster of them."""

    code: str | None = None
    """What the model made of it."""
    reason: Reason | None = None
    """Why there is none."""
    detail: str | None = None
    strategy: str | None = None
    """That the last answer was asked for with."""
    answers: list[Answer] = field(default_factory=list)


class Asking:
    """Of one run.  ``refiner`` is None where there is no key: then only the ledger answers."""

    def __init__(
        self,
        answers: Answers,
        config: RefineConfig,
        refiner: Refiner | None,
        choose: Callable[[Failure], Choice],
    ) -> None:
        self.answers = answers
        self._config = config
        self._refiner = refiner
        self._choose = choose
        self._under_way: dict[str, asyncio.Task[Answer | Settled]] = {}
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def asks(self) -> bool:
        """Whether there is a model to ask."""
        return self._refiner is not None

    # The side of the coordinator's thread

    def settle_all(
        self, found: list[tuple[str, Failure]], waiting: Callable[[], None]
    ) -> list[Settled]:
        """For each failure, by its cluster's key; ``waiting`` is called every ``TELL_S`` seconds.

        Raises ``CancelledError`` when ``stop`` was called, ``ModelUnavailable``,
        ``StorageError``.
        """
        if self._stopping:
            raise CancelledError
        if not found:
            return []
        self._start()
        assert self._loop is not None
        gathered = asyncio.run_coroutine_threadsafe(self._gather(found), self._loop)
        while True:
            try:
                return gathered.result(TELL_S)
            except TimeoutError:
                if gathered.done():
                    raise
                waiting()

    def begin(self, find: Callable[[], list[tuple[str, Failure]]]) -> None:
        """Ask about what ``find`` finds, and return at once: the ledger will have the answers.

        What goes wrong is told to whoever needs the answers, later.
        """
        if self._refiner is not None and not self._stopping:
            self._start()
            assert self._loop is not None
            asyncio.run_coroutine_threadsafe(self._ahead(find), self._loop)

    def stop(self) -> None:
        """Send nothing more, give up what is under way.  From any thread, or a signal handler."""
        self._stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel_all)

    def close(self) -> None:
        """End the thread; requests under way may end first, for they are paid for."""
        if self._loop is None or self._thread is None:
            return
        patience = 0.0 if self._stopping else DRAIN_S
        self._stopping = True
        asyncio.run_coroutine_threadsafe(self._drain(patience), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="refinement", daemon=True
            )
            self._thread.start()
            self._on_loop(self._prepare())

    def _on_loop(self, what: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    # The side of the event loop

    async def _prepare(self) -> None:
        config = self._config
        self._budget = Budget(self.answers, config.budget_usd, config.budget_tokens)
        batched = (config.model or "").startswith(BATCH)
        self._room = asyncio.Semaphore(IN_BATCHES if batched else config.concurrency)
        self._gatherings: set[asyncio.Task[Any]] = set()
        self._unavailable: ModelUnavailable | None = None
        """Why nothing more is asked."""

    async def _ahead(self, find: Callable[[], list[tuple[str, Failure]]]) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._gatherings.add(me)
        try:
            await self._gather(await asyncio.to_thread(find))
        except HpcRunnerError:
            return
        finally:
            self._gatherings.discard(me)

    async def _gather(self, found: list[tuple[str, Failure]]) -> list[Settled]:
        me = asyncio.current_task()
        assert me is not None
        self._gatherings.add(me)
        self._unavailable = None
        tasks = [asyncio.create_task(self._settle(key, failure)) for key, failure in found]
        try:
            return await asyncio.gather(*tasks)
        finally:
            self._gatherings.discard(me)
            for task in tasks:
                task.cancel()  # requests under way end by themselves, and are in the ledger then

    async def _settle(self, key: str, failure: Failure) -> Settled:
        made = Settled()
        if len(failure.candidate.code) > CODE_CHARS:
            made.reason = Reason.TOO_LONG
            return made
        unusable: Unusable | None = None
        for again in range(AGAIN + 1):
            found = await self._answer(_key(key, again), failure, again, unusable)
            if isinstance(found, Settled):
                made.reason, made.detail = found.reason, found.detail
                return made
            made.answers.append(found)
            made.strategy = found.strategy
            if found.error is not None:
                made.reason, made.detail = Reason.QUESTION_REFUSED, found.error
                return made
            program = _program(found, failure)
            if isinstance(program, str):
                made.reason = convergence.after_answer(failure, program)
                made.code = program if made.reason is None else None
                made.detail = None
                return made
            unusable = program
            made.reason, made.detail = Reason.NO_ANSWER, _words(program)
        return made

    async def _answer(
        self, key: str, failure: Failure, again: int, unusable: Unusable | None
    ) -> Answer | Settled:
        """The ledger's, or the model's: in the ledger when this returns."""
        known = self.answers.get(key)
        if known is not None:
            return known
        if self._refiner is None:
            return Settled(reason=Reason.NO_KEY)
        task = self._under_way.get(key)
        if task is None:
            choice = self._choose(failure)
            question = ask(
                failure,
                choice.strategy,
                key,
                again=again,
                unusable=unusable,
                hide_tests=self._config.hide_tests,
                examples=choice.examples,
            )
            task = asyncio.create_task(self._ask(self._refiner, question))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, refiner: Refiner, question: Question) -> Answer | Settled:
        async with self._room:
            if self._stopping:
                raise asyncio.CancelledError
            if self._unavailable is not None:
                raise self._unavailable
            refused = await self._budget.admit(question)
            if refused is not None:
                return Settled(reason=Reason.BUDGET, detail=refused)
            try:
                answer = await self._reply(refiner, question)
                await asyncio.shield(self.answers.add(answer))
            except ModelUnavailable as error:
                self._unavailable = error
                raise
            except ModelBusy as error:
                return Settled(reason=Reason.MODEL_BUSY, detail=str(error))
            finally:
                await self._budget.settled(question)
            return answer

    async def _reply(self, refiner: Refiner, question: Question) -> Answer:
        try:
            return Answer.of(question, await refiner.ask(question))
        except QuestionError as error:
            return Answer.refused(question, refiner.model, str(error))

    def _cancel_all(self) -> None:
        for task in (*self._gatherings, *self._under_way.values()):
            task.cancel()

    async def _drain(self, patience_s: float) -> None:
        for gathering in list(self._gatherings):
            gathering.cancel()
        under_way = list(self._under_way.values())
        if under_way and patience_s:
            await asyncio.wait(under_way, timeout=patience_s)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self.answers.flush()
        if self._refiner is not None:
            await self._refiner.close()
        await asyncio.get_running_loop().shutdown_default_executor()


def _key(cluster: str, again: int) -> str:
    if not again:
        return cluster
    return hashlib.sha256(f"{cluster} again {again}".encode()).hexdigest()


def _program(answer: Answer, failure: Failure) -> str | Unusable:
    entry_point = getattr(failure.candidate.tests, "entry_point", None)
    return program_in(answer.reply, failure.candidate.language, entry_point)


def _words(unusable: Unusable) -> str:
    return ": ".join(filter(None, [unusable.trouble.value, unusable.detail]))
