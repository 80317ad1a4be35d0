"""Which executions of a shard are to be done, in which order, and which can't matter any more.

The executions of a candidate are its *steps*: round 0 in each environment, then round 1 in
each environment, and so on.  Every candidate gets its first steps, as many as any decision
takes and one in each environment at least; then one more at a time, until no outcome of
the rest could change verdict or consensus.  Those whose executions disagree then get
*extra* steps, as long as these may tell what the verdict depends on (results/reliability.py).
Extra steps aren't planned and take no part in the vote.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hpc_runner.config import RunConfig
from hpc_runner.model import Verdict
from hpc_runner.results.reliability import Observation, explain
from hpc_runner.results.vote import Tally, certain_executions
from hpc_runner.sandbox.perturbation import perturbed

__all__ = ["Agenda", "Work"]


@dataclass
class Work:
    """One execution to be done."""

    index: int  # of the candidate in the shard
    environment: int  # of the run
    round: int
    attempt: int = 0


@dataclass
class _State:
    """Where a candidate stands."""

    tally: Tally
    known: set[int] = field(default_factory=set)  # steps that are on disk from before
    next_step: int = 0
    pending: int = 0  # executions queued or in flight
    seen: list[Observation] = field(default_factory=list)


class Agenda:
    """Of one shard; candidates and environments are addressed by their index.

    ``never``: (candidate, environment) where nothing is run → the verdict of the row that
    stands for all the rounds there that aren't on disk.  First ``recover`` what is known,
    then ``begin``, then take from ``waiting`` and ``finish``.
    """

    def __init__(
        self,
        config: RunConfig,
        candidates: int,
        environments: int,
        never: Mapping[tuple[int, int], Verdict] = MappingProxyType({}),
    ) -> None:
        self._environments = environments
        self._steps = config.rounds * environments
        self._perturb = config.perturb
        varied = config.perturb or environments > 1
        extra = config.extra_rounds * environments if varied else 0
        self._end = self._steps + extra
        self._certain = self._steps
        if config.early_stop:
            self._certain = certain_executions(
                config.rounds, environments, config.consensus_threshold, config.error_rate
            )
        self._never = never
        self._told: set[tuple[int, int]] = set()  # of never, those whose row is on disk
        self._states = [
            _State(Tally(self._steps, config.consensus_threshold, config.error_rate))
            for _ in range(candidates)
        ]
        self.waiting: deque[Work] = deque()
        self.verdicts: Counter[str] = Counter()
        """Of all that is known."""
        self.planned = candidates * self._steps
        self.done = 0
        """Of ``planned``; what need not be done is done."""

    def recover(self, index: int, environment: int, round_: int, verdict: Verdict) -> None:
        """An execution that is on disk."""
        self._states[index].known.add(round_ * self._environments + environment)
        if self._never.get((index, environment)) is verdict:
            self._told.add((index, environment))
        self._count(index, environment, round_, verdict)

    def begin(self) -> list[Work]:
        """Queue what every candidate gets and is not on disk.

        Returns what stands for executions that are never run, for ``finish``.
        """
        for state in self._states:
            # What lies before a step that is on disk is done, too.
            state.next_step = max([self._certain, *(step + 1 for step in state.known)])
        for step in range(max((state.next_step for state in self._states), default=0)):
            for index, state in enumerate(self._states):
                if step < state.next_step:
                    self._queue(index, step)
        unrun = []
        for index, environment in sorted(self._never):
            state = self._states[index]
            steps = range(environment, self._steps, self._environments)
            left = [step // self._environments for step in steps if step not in state.known]
            if left and (index, environment) not in self._told:
                unrun.append(Work(index, environment, left.pop(0)))
                state.pending += 1
            for _ in left:
                state.tally.add(Verdict.INTERNAL_ERROR)
                self.done += 1
        for index, state in enumerate(self._states):
            if not state.pending:
                self._go_on(index)
        return unrun

    def finish(self, work: Work, verdict: Verdict) -> None:
        """``work`` has its row."""
        self._count(work.index, work.environment, work.round, verdict)
        self._states[work.index].pending -= 1
        if not self._states[work.index].pending:
            self._go_on(work.index)

    def _count(self, index: int, environment: int, round_: int, verdict: Verdict) -> None:
        state = self._states[index]
        self.verdicts[verdict.value] += 1
        if verdict is not Verdict.INTERNAL_ERROR:
            # What is perturbed in truth may be less: then a step or two are done in vain.
            dimensions = perturbed(round_) if self._perturb else frozenset()
            never = (index, environment) in self._never
            state.seen.append(Observation(str(environment), None if never else dimensions, verdict))
        if round_ * self._environments + environment < self._steps:
            state.tally.add(verdict)
            self.done += 1

    def _go_on(self, index: int) -> None:
        """All that was queued for a candidate is done: one more step, unless it can't matter."""
        state = self._states[index]
        while state.next_step < self._end and not state.pending:
            step = state.next_step
            if not state.tally.decided() or _puzzling(state):
                self._queue(index, step)
            elif step >= self._steps:
                return
            elif self._runs(index, step):
                self.done += 1
            state.next_step += 1

    def _queue(self, index: int, step: int) -> None:
        """Unless it is on disk or never run."""
        if self._runs(index, step) and step not in self._states[index].known:
            round_, environment = divmod(step, self._environments)
            self._states[index].pending += 1
            self.waiting.append(Work(index, environment, round_))

    def _runs(self, index: int, step: int) -> bool:
        return (index, step % self._environments) not in self._never


def _puzzling(state: _State) -> bool:
    """The executions disagree, and more of them may tell why."""
    if len({item.verdict for item in state.seen}) < 2:
        return False
    found = explain(state.seen)
    return found.cause is None and not found.hopeless
