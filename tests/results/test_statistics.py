"""pass@k against counting every draw."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.results.statistics import interval, pass_at, pass_at_k


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(*[st.just(n), st.integers(0, n)])), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(
    task: tuple[int, int], data: st.DataObject
) -> None:
    samples, correct = task
    k = data.draw(st.integers(1, samples))
    draws = list(itertools.combinations(range(samples), k))
    hits = sum(any(sample < correct for sample in draw) for draw in draws)
    assert pass_at_k(samples, correct, k) == pytest.approx(float(Fraction(hits, len(draws))))


def test_it_holds_where_binomials_overflow() -> None:
    assert pass_at_k(100_000, 1, 100) == pytest.approx(100 / 100_000)
    assert pass_at_k(2000, 1000, 100) == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 6), (5, 6, 1), (5, -1, 1), (5, 2, 0)])
def test_what_has_no_meaning_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="no meaning"):
        pass_at_k(n, c, k)


def test_the_mean_is_over_tasks_and_k_needs_enough_samples_everywhere() -> None:
    assert pass_at([(10, 5, 1), (20, 20, 3)]) == {
        1: pytest.approx((0.5 + 3) / 4),
        10: pytest.approx((1.0 + 3) / 4),
    }
    assert pass_at([(1, 1, 3), (1, 0, 1)]) == {1: 0.75}
    assert pass_at([]) == {}


# ------------------------------------------------------------------------ the bootstrap


def test_the_interval_is_that_of_the_binomial_where_tasks_have_one_sample() -> None:
    low, high = interval([(1, 1, 60), (1, 0, 40)], 1)
    half = 1.96 * (0.6 * 0.4 / 100) ** 0.5
    assert (low, high) == (pytest.approx(0.6 - half, abs=0.02), pytest.approx(0.6 + half, abs=0.02))


def test_it_narrows_with_more_tasks_and_says_the_same_again() -> None:
    few, many = ([(5, c, count) for c in (0, 2, 5)] for count in (5, 500))
    widths = [high - low for low, high in (interval(few, 1), interval(many, 1))]
    assert widths[0] > 8 * widths[1] > 0
    assert interval(few, 1) == interval(few, 1)


@given(st.lists(st.tuples(st.just(4), st.integers(0, 4), st.integers(1, 200)), min_size=1))
def test_it_is_a_part_of_what_is_possible(tasks: list[tuple[int, int, int]]) -> None:
    low, high = interval(tasks, 1, draws=40)
    values = [c / 4 for _, c, _ in tasks]
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_without_tasks_there_is_none() -> None:
    with pytest.raises(ValueError, match="a task"):
        interval([], 1)
