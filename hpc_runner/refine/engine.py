"""Refinement, as the coordinator sees it: the opener of the waves after the first.

failures of a wave → clusters → what needs no model is mended at once
                              → the others are asked about, the ledger first
→ refined.parquet says what became of each → candidates of the next wave
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

from hpc_runner.config import RefineConfig
from hpc_runner.errors import KeyMissing
from hpc_runner.refine import convergence
from hpc_runner.refine.asking import Asking, Choice, Settled
from hpc_runner.refine.budget import forecast
from hpc_runner.refine.clusters import clusters
from hpc_runner.refine.factory import make_refiner
from hpc_runner.refine.failures import Failure, Failures, failures
from hpc_runner.refine.learning import outcomes
from hpc_runner.refine.ledger import Answers
from hpc_runner.refine.opening import Made, Opening
from hpc_runner.refine.patterns import Learnt, Patterns
from hpc_runner.refine.refiner import DEFAULT_MODEL, ModelSpec, Refiner
from hpc_runner.refine.repairs import repair
from hpc_runner.refine.strategies import usual
from hpc_runner.results.candidates import read_shard
from hpc_runner.results.vote import votes_of
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info

__all__ = ["Engine", "check_refinement", "foretell", "model_spec", "refinement"]


def model_spec(config: RefineConfig, run: RunDir | None = None) -> ModelSpec:
    """``run`` is where batches are remembered that were sent."""
    return ModelSpec(
        name=config.model or DEFAULT_MODEL,
        strict=config.strict_model,
        concurrency=config.concurrency,
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        key_file=None if config.key_file is None else Path(config.key_file),
        batches=None if run is None else run.batches,
        api_base=config.api_base,
    )


def check_refinement(config: RefineConfig, say: Callable[[str], None]) -> None:
    """Raises ``ConfigError`` for a model that can't be asked; ``say`` is told of a missing key."""
    if config.mode != "none":
        _refiner(config, say)


def _refiner(
    config: RefineConfig, say: Callable[[str], None], run: RunDir | None = None
) -> Refiner | None:
    try:
        return make_refiner(model_spec(config, run))
    except KeyMissing as missing:
        say(f"No model is asked: {missing}. What needs none is repaired all the same")
        return None


def foretell(run: RunDir, info: RunInfo) -> str | None:
    """What refining a planned run may cost, in words; None if it isn't refined."""
    config = info.config.refine
    if config.mode == "none":
        return None
    rows = read_shard(run.candidates(0), 0)
    chars = [len(one.code) + len(one.tests.model_dump_json()) for _, _, one in rows]
    each = forecast(1, sum(chars) / len(chars))
    most = forecast(info.candidates, sum(chars) / len(chars))
    return (
        f"{config.mode}, {config.model or DEFAULT_MODEL}: about {each.tokens:,.0f} tokens and "
        f"${each.usd:.4f} a question at a Sonnet's list price; ${most.usd:,.2f} if all "
        f"{info.candidates:,} candidates fail once, up to {config.max_iterations} times that"
    )


@contextmanager
def refinement(
    run: RunDir, config: RefineConfig, say: Callable[[str], None]
) -> Iterator[Engine | None]:
    """What opens the waves of a run, for as long as it is coordinated; None if it isn't refined.

    Without a key only repairs that need no model are made; ``say`` is told.  Raises
    ``ConfigError`` for a model that can't be asked, ``StorageError``.
    """
    if config.mode == "none":
        yield None
        return
    engine = Engine(run, config, _refiner(config, say, run), say, read_info(run).config.seed)
    try:
        yield engine
    finally:
        engine.close()


class Engine:
    """A ``WaveOpener``.  ``refiner`` None: no model is asked."""

    def __init__(
        self,
        run: RunDir,
        config: RefineConfig,
        refiner: Refiner | None,
        say: Callable[[str], None],
        seed: int = 0,
    ) -> None:
        self._config = config
        self._say = say
        self._counted: set[str] = set()
        """Clusters whose answers' cost stands at one of their candidates."""
        self._patterns = None if config.patterns is None else Patterns(Path(config.patterns), say)
        self._learnt: Learnt | None = None
        """What the patterns say, until something is added to them."""
        self._seed = seed
        self._early: dict[int, set[int]] = {}
        """Wave → shards that were looked at while others ran."""
        self._asking = Asking(Answers(run.answers), config, refiner, self._choose)

    def open(self, run: RunDir, wave: int) -> int | None:
        """As the coordinator's ``WaveOpener`` does; None when ``stop`` was called.

        Raises ``ModelUnavailable`` when no model can be asked; the run can be resumed.
        """
        info = read_info(run)
        self._counted.clear()
        self._learn(run, wave - 1, info.run_id)
        try:
            with failures(run, wave - 1, self._config) as found:
                if not found.count:
                    return 0
                self._say(self._foretold(found, wave - 1))
                with Opening(run, wave, info, found) as opening:
                    for batch in found.batches():
                        opening.add(self._refine(batch))
        except CancelledError:
            return None
        self._say(f"{opening.candidates:,} new candidates; {self._spent()}")
        return opening.candidates

    def early(self, run: RunDir, wave: int, finished: Set[int]) -> None:
        """Ask about what has failed in shards that are finished.

        Not where only unsolved tasks are refined: the shards that still run may solve them.
        """
        new = sorted(finished - self._early.setdefault(wave, set()))
        if self._config.mode != "failing" or not new:
            return
        self._early[wave].update(new)
        self._asking.begin(lambda: self._questions(run, wave, new))

    def stop(self) -> None:
        """Send nothing more; ``open`` returns soon.  May be called from a signal handler."""
        self._asking.stop()

    def close(self) -> None:
        """Requests that are under way may end: they are paid for."""
        self._asking.close()

    def _refine(self, batch: list[Failure]) -> list[Made]:
        """In the order of the batch.  Raises ``CancelledError`` when stopped."""
        made = {failure.candidate_id: self._alone(failure) for failure in batch}
        left = [failure for failure in batch if made[failure.candidate_id] is None]
        alike = list(clusters(left))
        questions = [(key, group[0]) for key, group in alike]
        settled = self._asking.settle_all(questions, lambda: self._say(self._spent()))
        for (key, group), one in zip(alike, settled, strict=True):
            for failure in group:
                first = key not in self._counted
                self._counted.add(key)
                made[failure.candidate_id] = Made(failure, one, (), len(group), first)
        return [one for one in made.values() if one is not None]

    def _alone(self, failure: Failure) -> Made | None:
        """What becomes of a failure for which no model is needed."""
        reason = convergence.before_question(failure, self._config.max_iterations)
        if reason is not None:
            return Made(failure, Settled(reason=reason))
        repaired = repair(failure) if self._config.local_repairs else None
        if repaired is None or convergence.after_answer(failure, repaired.code) is not None:
            return None
        return Made(failure, Settled(code=repaired.code), repaired.names)

    def _questions(self, run: RunDir, wave: int, shards: list[int]) -> list[tuple[str, Failure]]:
        """Those about the candidates of some shards, which are finished and not voted on."""
        info = read_info(run)
        votes = votes_of(run, wave, shards, info.config.consensus_threshold, info.config.rounds)
        found: list[tuple[str, Failure]] = []
        with failures(run, wave, self._config, votes) as failing:
            for batch in failing.batches():
                left = [failure for failure in batch if self._alone(failure) is None]
                found += [(key, group[0]) for key, group in clusters(left)]
        return found

    def _choose(self, failure: Failure) -> Choice:
        if self._patterns is None:
            return Choice(usual(failure))
        if self._learnt is None:
            self._learnt = self._patterns.learnt(self._seed)
        return Choice(self._learnt.strategy(failure), self._learnt.shown(failure))

    def _learn(self, run: RunDir, wave: int, run_id: str) -> None:
        """Keep what the repairs that made ``wave`` came to; doing it again does no harm."""
        if self._patterns is not None:
            self._patterns.add(outcomes(run, wave, run_id))
            self._learnt = None

    def _foretold(self, found: Failures, wave: int) -> str:
        line = f"Refining {found.count:,} candidates that failed in wave {wave}"
        if not self._asking.asks:
            return line
        most = forecast(found.count, found.mean_chars(), self._asking.answers)
        return f"{line}: at most about {most.tokens:,.0f} tokens, ${most.usd:,.2f}"

    def _spent(self) -> str:
        answers = self._asking.answers
        cost = f"${answers.usd:,.2f}" if not answers.unknown_usd else "an unknown amount"
        return f"{answers.count:,} answers so far, {answers.tokens:,} tokens, {cost}"
