"""pass@k against counting every draw."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.results.statistics import pass_at, pass_at_k


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
