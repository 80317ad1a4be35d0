"""Stopping early at a stated error rate: it holds for every probability, and it saves something."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_runner.model import Verdict
from hpc_runner.results.sequential import allowed, boundary, expected
from hpc_runner.results.vote import Tally, certain_executions

NEVER = -1


@pytest.mark.parametrize(("planned", "rate"), [(20, 0.01), (30, 0.001), (50, 0.01)])
def test_the_error_rate_holds_for_every_probability(planned: int, rate: float) -> None:
    bounds = boundary(planned, 0.8, rate)
    worst = max(expected(planned, 0.8, bounds, step / 500)[0] for step in range(501))
    assert 0 < worst <= rate


def test_it_holds_when_it_is_tried_out() -> None:
    """At the probabilities where it is hardest, by simulation of the vote itself."""
    draw = random.Random(1).random
    planned, threshold, rate, wrong, spent, trials = 20, 0.8, 0.05, 0, 0, 4000
    for trial in range(trials):
        p = (0.15, 0.25, 0.35, 0.45)[trial % 4]
        fails = [draw() < p for _ in range(planned)]
        verdicts = [Verdict.WRONG_ANSWER if failed else Verdict.ACCEPTED for failed in fails]
        tally = Tally(planned, threshold, rate)
        seen: list[Verdict] = []
        while not seen or not tally.decided():
            seen.append(verdicts[len(seen)])
            tally.add(seen[-1])
        spent += len(seen)
        dissent = min(verdicts.count(Verdict.WRONG_ANSWER), verdicts.count(Verdict.ACCEPTED))
        consensus = dissent <= allowed(planned, threshold)
        said = max(map(seen.count, Verdict)) / len(seen) >= threshold
        wrong += said is not consensus
    assert wrong / trials <= rate
    assert spent / trials < 17


def test_the_exact_numbers_are_those_of_counting_all_ways() -> None:
    planned, p = 12, 0.3
    bounds = boundary(planned, 0.75, 0.05)
    most = allowed(planned, 0.75)
    wrong = spent = 0.0
    for number in range(1 << planned):
        bits = [(number >> n) & 1 for n in range(planned)]
        weight = 1.0
        for bit in bits:
            weight *= p if bit else 1 - p
        d = 0
        for n, bit in enumerate(bits, 1):
            d += bit
            certain = d > most or d + planned - n <= most
            if certain or d <= bounds[n]:
                break
        spent += weight * n
        wrong += weight * (not certain and sum(bits) > most)
    assert expected(planned, 0.75, bounds, p) == (pytest.approx(wrong), pytest.approx(spent))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 25), st.sampled_from([0.6, 0.8, 1.0]), st.sampled_from([0.001, 0.05]))
def test_certainty_is_within_the_boundary_and_more_is_allowed_later(
    planned: int, threshold: float, rate: float
) -> None:
    bounds = boundary(planned, threshold, rate)
    most = allowed(planned, threshold)
    assert len(bounds) == planned + 1 and list(bounds) == sorted(bounds)
    for n, d in enumerate(bounds):
        assert d >= min(n, most - (planned - n))


def test_few_rounds_save_nothing_and_many_save_much() -> None:
    assert certain_executions(3, 1, 0.8, 0.001) == certain_executions(3, 1, 0.8)
    bounds, none = boundary(50, 0.8, 0.001), (NEVER,) * 51
    assert expected(50, 0.8, bounds, 0.0)[1] < 0.6 * expected(50, 0.8, none, 0.0)[1]


def test_an_unjudged_execution_ends_the_test() -> None:
    tally = Tally(30, 0.8, 0.01)
    tally.add(Verdict.INTERNAL_ERROR)
    for _ in range(20):
        tally.add(Verdict.ACCEPTED)
    assert not tally.decided()
