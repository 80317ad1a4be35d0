"""Refinement of one program: judge, mend or ask, judge again, until it is over.

Strategies, prompts, repairs and the rules of when it is over are those of runs
(docs/refinement.md); only the files are missing.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

from hpc_runner.api.environment import ValidationFramework
from hpc_runner.api.types import RefinementOutcome, RefinementStrategy, ToolConfig
from hpc_runner.errors import KeyMissing, ModelBusy, ModelUnavailable, QuestionError
from hpc_runner.executions import Vote
from hpc_runner.model import Candidate
from hpc_runner.refine.answers import Unusable, program_in
from hpc_runner.refine.asking import AGAIN
from hpc_runner.refine.clusters import cluster_key
from hpc_runner.refine.convergence import Reason, after_answer, before_question
from hpc_runner.refine.factory import make_refiner
from hpc_runner.refine.failures import Earlier, FailedTest, Failure
from hpc_runner.refine.prompt import CODE_CHARS, ask
from hpc_runner.refine.refiner import ModelSpec, Question, Refiner, Reply
from hpc_runner.refine.repairs import repair
from hpc_runner.refine.strategies import usual

__all__ = ["IterativeRefinementEngine", "ModelClient", "failure_of"]

DEFAULT_MODEL = "anthropic/claude-4-sonnet"
"""As the document spells it: OpenRouter's Claude Sonnet 4."""


class ModelClient:
    """A Claude Sonnet through litellm, which is loaded by the first question.

    The questions of all callers share one event loop, and with it the model's rate limits and
    its connections.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._lock = threading.Lock()
        self._refiner: Refiner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def model_name(self) -> str:
        return self.spec.name

    async def ask(self, question: Question) -> Reply:
        """Raises ``ConfigError`` for a model that can't be asked, ``KeyMissing`` without a key,
        and what ``Refiner.ask`` raises."""
        refiner, loop = await asyncio.to_thread(self._open)
        reply = asyncio.run_coroutine_threadsafe(refiner.ask(question), loop)
        return await asyncio.wrap_future(reply)

    def _open(self) -> tuple[Refiner, asyncio.AbstractEventLoop]:
        with self._lock:
            if self._refiner is None:
                self._refiner = make_refiner(self.spec)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="hpc-runner model", daemon=True
                )
                self._thread.start()
            return self._refiner, self._loop

    def close(self) -> None:
        """Give connections back.  Idempotent; a question after it opens them again."""
        with self._lock:
            refiner, self._refiner = self._refiner, None
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            if refiner is not None:
                asyncio.run_coroutine_threadsafe(refiner.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


@dataclass
class _Progress:
    """Of one program's refinement."""

    outcome: RefinementOutcome
    history: list[Earlier] = field(default_factory=list)


class IterativeRefinementEngine:
    """LLM-based iterative refinement; Claude Sonnet only (docs/models.md).

    ``llm_client``: who is asked, instead of the model that the configuration names.
    """

    def __init__(
        self,
        config: ToolConfig | None = None,
        framework: ValidationFramework | None = None,
        llm_client: ModelClient | None = None,
    ) -> None:
        self.config = config or (framework.environment.config if framework else ToolConfig())
        self.framework = framework
        self.llm_client = llm_client or self._create_default_llm_client()

    def _create_default_llm_client(self) -> ModelClient:
        """Claude Sonnet 4 by OpenRouter, or what the configuration names.  Asks nothing, and
        needs no key yet."""
        config = self.config
        return ModelClient(
            ModelSpec(
                name=config.model or DEFAULT_MODEL,
                strict=config.strict_model,
                key_file=config.key_file,
                api_base=config.api_base,
            )
        )

    async def refine(
        self,
        vote: Vote,
        *,
        strategy: RefinementStrategy | None = None,
        cross_validation: bool = True,
    ) -> tuple[RefinementOutcome, Vote]:
        """Refine a program that a vote did not accept; the outcome, and the last program's vote.

        ``strategy``: instead of the one that the failure calls for.  Trouble with the model ends
        refinement with a ``reason``, it is no exception.  Raises ``ConfigError`` for a model that
        can't be asked, and what ``ValidationFramework.judge`` raises.
        """
        if self.framework is None:
            self.framework = ValidationFramework()
        progress = _Progress(RefinementOutcome(reason=""))
        outcome = progress.outcome
        while not vote.accepted:
            code = await self._next(failure_of(vote, progress.history), progress, strategy)
            if code is None:
                return outcome, vote
            progress.history.append(_earlier(vote))
            following = _refined(vote.candidate, code)
            vote = await self.framework.judge(following, cross_validation=cross_validation)
            outcome.refined_code = code
            outcome.iterations += 1
        outcome.success, outcome.reason = True, "accepted"
        return outcome, vote

    def close(self) -> None:
        self.llm_client.close()

    async def _next(
        self, failure: Failure, progress: _Progress, strategy: RefinementStrategy | None
    ) -> str | None:
        """The next program, or None, with the reason in the outcome."""
        outcome = progress.outcome
        reason: str | None = before_question(failure, self.config.max_refinement_iterations)
        if failure.verdict == "policy_violation":
            reason = "policy_violation"
        if reason is None:
            mended = repair(failure)
            if mended is not None and after_answer(failure, mended.code) is None:
                outcome.repairs += mended.names
                return mended.code
            if len(failure.candidate.code) > CODE_CHARS:
                reason = Reason.TOO_LONG
        if reason is not None:
            outcome.reason = str(reason)
            return None
        try:
            return await self._asked(failure, outcome, strategy)
        except KeyMissing as error:
            outcome.reason = f"{Reason.NO_KEY}: {error}"
        except ModelBusy as error:
            outcome.reason = f"{Reason.MODEL_BUSY}: {error}"
        except QuestionError as error:
            outcome.reason = f"{Reason.QUESTION_REFUSED}: {error}"
        except ModelUnavailable as error:
            outcome.reason = f"model_unavailable: {error}"
        return None

    async def _asked(
        self, failure: Failure, outcome: RefinementOutcome, strategy: RefinementStrategy | None
    ) -> str | None:
        chosen, key = strategy or usual(failure), cluster_key(failure)
        unusable: Unusable | None = None
        entry_point = getattr(failure.candidate.tests, "entry_point", None)
        for again in range(AGAIN + 1):
            question = ask(failure, chosen, key, again=again, unusable=unusable)
            reply = await self.llm_client.ask(question)
            _count(outcome, chosen, reply)
            program = program_in(reply, failure.candidate.language, entry_point)
            if isinstance(program, str):
                reason = after_answer(failure, program)
                outcome.reason = str(reason or "")
                return program if reason is None else None
            unusable = program
            outcome.reason = f"{Reason.NO_ANSWER}: {program.trouble} {program.detail}".rstrip()
        return None


def failure_of(vote: Vote, history: list[Earlier]) -> Failure:
    """What refinement knows of a failure; ``history``: its ancestors, the first one first."""
    shown = next(e for e in vote.executions if e.verdict is vote.verdict)
    row = shown.row
    return Failure(
        candidate_id=vote.candidate.candidate_id,
        row=0,
        candidate=vote.candidate,
        verdict=str(row["verdict"]),
        flaky=vote.outcome.flaky,
        cause=vote.cause,
        error_type=row["error_type"],
        error_message=row["error_message"],
        tests=tuple(
            FailedTest(test["name"], test["outcome"], test["message"])
            for test in row["tests"]
            if test["outcome"] not in ("accepted", "not_run")
        ),
        stdout=row["stdout_tail"],
        stderr=row["stderr_tail"],
        history=tuple(history),
    )


def _earlier(vote: Vote) -> Earlier:
    failure = failure_of(vote, [])
    return Earlier(
        failure.candidate_id,
        vote.candidate.code,
        failure.verdict,
        failure.error_type,
        failure.error_message,
    )


def _refined(candidate: Candidate, code: str) -> Candidate:
    made = {
        "code": code,
        "generation": candidate.generation + 1,
        "parent": candidate.candidate_id,
    }
    return candidate.model_copy(update=made)


def _count(outcome: RefinementOutcome, strategy: RefinementStrategy, reply: Reply) -> None:
    """Add what a reply cost.  Dollars are known as long as those of every reply are."""
    outcome.strategies.append(strategy.value)
    outcome.model = reply.model
    usage, told = outcome.usage, reply.usage
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        usage[name] = usage.get(name, 0) + getattr(told, name)
    before = usage.get("usd", 0.0)
    usage["usd"] = None if before is None or told.usd is None else before + told.usd
