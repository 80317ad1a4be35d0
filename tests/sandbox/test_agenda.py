"""What is to be done of a shard: every step at most once, none that can't matter."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.config import RunConfig
from hpc_runner.model import Verdict
from hpc_runner.results.reliability import Observation, explain
from hpc_runner.results.vote import certain_executions, outcome
from hpc_runner.sandbox.agenda import Agenda
from hpc_runner.sandbox.perturbation import MASKS, perturbed

Step = tuple[int, int]
"""round, environment"""

few_verdicts = st.sampled_from(
    [Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.TIME_LIMIT, Verdict.INTERNAL_ERROR]
)
thresholds = st.sampled_from([0.51, 0.6, 0.8, 1.0])


def config(rounds: int, threshold: float = 0.8, early_stop: bool = True) -> RunConfig:
    return RunConfig(
        corpus=("/c",),
        rounds=rounds,
        consensus_threshold=threshold,
        early_stop=early_stop,
        extra_rounds=0,
    )


class World:
    """What every execution of one candidate would come to, and which were done."""

    def __init__(self, asked: RunConfig, environments: int, verdicts: list[Verdict]) -> None:
        rounds = asked.rounds + asked.extra_rounds
        steps = itertools.product(range(rounds), range(environments))
        self.verdicts = dict(zip(steps, verdicts, strict=True))
        self.asked, self.environments = asked, environments
        self.done: list[Step] = []

    def work(self, most: int, never: frozenset[tuple[int, int]] = frozenset()) -> Agenda:
        """Go on from what is done, with at most so many executions."""
        told = dict.fromkeys(never, Verdict.INTERNAL_ERROR)
        agenda = Agenda(self.asked, 1, self.environments, told)
        for round_, environment in self.done:
            agenda.recover(0, environment, round_, self.verdicts[round_, environment])
        for work in agenda.begin():
            self.done.append((work.round, work.environment))
            agenda.finish(work, Verdict.INTERNAL_ERROR)
        while agenda.waiting and most:
            most -= 1
            work = agenda.waiting.popleft()
            step = work.round, work.environment
            assert step not in self.done, "an execution is done twice"
            assert (0, work.environment) not in never
            self.done.append(step)
            agenda.finish(work, self.verdicts[step])
        assert agenda.done <= agenda.planned
        assert agenda.waiting or agenda.done == agenda.planned
        return agenda


@st.composite
def worlds(draw: st.DrawFn, early_stop: bool = True) -> World:
    rounds, environments = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    count = rounds * environments
    verdicts = draw(st.lists(few_verdicts, min_size=count, max_size=count))
    return World(config(rounds, draw(thresholds), early_stop), environments, verdicts)


@given(worlds())
def test_early_stop_changes_no_outcome_and_tries_every_environment(world: World) -> None:
    world.work(99)
    done = Counter(world.verdicts[step] for step in world.done)
    everything = Counter(world.verdicts.values())
    threshold = world.asked.consensus_threshold
    found, full = outcome(done, threshold), outcome(everything, threshold)
    assert (found.verdict, found.consensus) == (full.verdict, full.consensus)
    assert {environment for _, environment in world.done} == set(range(world.environments))
    # Round by round, and in each round environment by environment.
    assert world.done == sorted(world.done)
    assert world.done == list(world.verdicts)[: len(world.done)]


@given(worlds(early_stop=False))
def test_without_early_stop_everything_is_done(world: World) -> None:
    world.work(99)
    assert world.done == list(world.verdicts)


@given(worlds(), st.lists(st.integers(0, 3), max_size=4))
def test_going_on_does_what_was_left_and_no_more(world: World, stops: list[int]) -> None:
    unbroken = World(world.asked, world.environments, list(world.verdicts.values()))
    unbroken.work(99)
    for most in stops:
        world.work(most)
    world.work(99)
    assert sorted(world.done) == unbroken.done


@given(worlds(), st.data())
def test_rows_that_are_lost_are_made_again(world: World, data: st.DataObject) -> None:
    """A damaged part: any of the executions may be gone."""
    world.work(99)
    before = sorted(world.done)
    world.done = data.draw(st.lists(st.sampled_from(before), unique=True))
    last = max(world.done, default=(-1, 0))
    world.work(99)
    assert {step for step in before if step <= last} <= set(world.done)
    assert world.done and len(set(world.done)) == len(world.done)


@given(worlds(), st.data())
def test_what_is_never_run_has_one_row_and_takes_no_part(world: World, data: st.DataObject) -> None:
    places = st.integers(0, world.environments - 1)
    never = frozenset((0, place) for place in data.draw(st.sets(places)))
    agenda = world.work(99, never)
    assert agenda.done == agenda.planned
    for place in range(world.environments):
        rounds = sorted(round_ for round_, where in world.done if where == place)
        assert rounds == [0] if (0, place) in never else rounds
    before = list(world.done)
    for _, place in never:
        world.verdicts[0, place] = Verdict.INTERNAL_ERROR
    world.work(99, never)
    assert world.done == before, "going on repeats what is done"


@given(worlds(), st.integers(1, 6))
def test_what_is_given_up_half_way_keeps_a_trace(world: World, most: int) -> None:
    """A candidate that killed its worker in a later round, in the one environment there is."""
    world.environments = 1
    world.verdicts = {(n, 0): Verdict.ACCEPTED for n in range(world.asked.rounds)}
    world.work(most)
    before = list(world.done)
    agenda = world.work(99, frozenset({(0, 0)}))
    assert agenda.done == agenda.planned
    assert not agenda.waiting
    traces = world.done[len(before) :]
    assert len(traces) == (len(before) < world.asked.rounds)
    assert before == world.done[: len(before)]


@given(st.integers(1, 6), st.integers(1, 3), thresholds)
def test_every_environment_is_certain_of_its_first_round(
    rounds: int, environments: int, threshold: float
) -> None:
    certain = certain_executions(rounds, environments, threshold)
    assert environments <= certain <= rounds * environments


def test_candidates_take_turns() -> None:
    agenda = Agenda(config(2, early_stop=False), candidates=2, environments=2)
    assert agenda.begin() == []
    order = [(work.round, work.environment, work.index) for work in agenda.waiting]
    assert order == sorted(order) and len(order) == 8


# ------------------------------------------------------------ those that disagree


def puzzle(
    rounds: int, extra: int, verdict: Callable[[int, int], Verdict], environments: int = 1
) -> tuple[World, list[Step]]:
    """A candidate whose verdicts are a function of round and environment; what was done."""
    asked = config(rounds).model_copy(update={"extra_rounds": extra})
    steps = itertools.product(range(rounds + extra), range(environments))
    world = World(asked, environments, [verdict(*step) for step in steps])
    world.work(99)
    return world, world.done


def test_a_candidate_that_agrees_gets_no_extra_round() -> None:
    _, done = puzzle(3, 14, lambda round_, place: Verdict.WRONG_ANSWER)
    assert len(done) == 3


@pytest.mark.parametrize("name", MASKS)
def test_extra_rounds_go_on_until_the_cause_is_known(name: str) -> None:
    def verdict(round_: int, place: int) -> Verdict:
        return Verdict.TIME_LIMIT if name in perturbed(round_) else Verdict.ACCEPTED

    _, done = puzzle(4, 30, verdict)
    seen = [Observation("0", perturbed(r), verdict(r, p)) for r, p in done]
    assert 4 < len(done) <= 17
    assert explain(seen).cause == name
    assert explain(seen[:-1]).cause is None, "one more than needed"


def test_they_end_when_nothing_can_explain_it() -> None:
    equal_rounds = (0, 5)  # both neutral

    def verdict(round_: int, place: int) -> Verdict:
        return Verdict.ACCEPTED if round_ in (0, 3) else Verdict.WRONG_ANSWER

    _, done = puzzle(3, 14, verdict)
    assert done[-1] == (equal_rounds[1], 0)


def test_a_dependence_on_the_environment_is_known_soon() -> None:
    def verdict(round_: int, place: int) -> Verdict:
        return Verdict.ACCEPTED if place else Verdict.RUNTIME_ERROR

    _, done = puzzle(2, 14, verdict, environments=2)
    assert len(done) == 6


@given(worlds(), st.lists(st.integers(0, 5), max_size=4), st.integers(1, 6), st.data())
def test_going_on_repeats_no_extra_step_and_votes_as_before(
    world: World, stops: list[int], extra: int, data: st.DataObject
) -> None:
    asked = world.asked.model_copy(update={"extra_rounds": extra})
    more = data.draw(st.lists(few_verdicts, min_size=extra * world.environments, max_size=99))[
        : extra * world.environments
    ]
    verdicts = [*world.verdicts.values(), *more]
    without, unbroken, broken = (
        world,
        *(World(asked, world.environments, verdicts) for _ in range(2)),
    )
    without.work(99)
    unbroken.work(999)
    for most in stops:
        broken.work(most)
    broken.work(999)
    assert sorted(broken.done) == unbroken.done
    counted = [step for step in unbroken.done if step[0] < asked.rounds]
    found, before = (
        outcome(Counter(world.verdicts[step] for step in done), asked.consensus_threshold)
        for done in (counted, without.done)
    )
    assert (found.verdict, found.consensus) == (before.verdict, before.consensus)
