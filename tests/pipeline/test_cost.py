"""What a run on a cluster is said to take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.pipeline.cost import START_S, Cost, array_expressions


def test_a_run_of_sixty_four_array_tasks() -> None:
    cost = Cost(
        array_tasks=64, cpus=4, parallel=32, time_min=60, executions=96_000, execution_s=0.5
    )
    assert cost.core_hours_at_most == 256
    assert cost.core_hours_expected == pytest.approx((48_000 + 64 * 4 * START_S) / 3600)
    assert cost.expected_s == pytest.approx(2 * START_S + 48_000 / 128)


@given(
    st.integers(1, 10**6), st.integers(1, 128), st.integers(1, 10**4), st.integers(1, 10**4),
    st.integers(0, 10**9), st.floats(0, 100),
)  # fmt: skip
def test_what_is_expected_is_never_more_than_the_most(
    tasks: int, cpus: int, parallel: int, time_min: int, executions: int, execution_s: float
) -> None:
    cost = Cost(tasks, cpus, parallel, time_min, executions, execution_s)
    assert 0 <= cost.core_hours_expected <= cost.core_hours_at_most
    assert cost.expected_s >= executions * execution_s / (tasks * cpus) - 1e-6


@given(st.integers(1, 5000), st.integers(1, 1001), st.integers(1, 64))
def test_arrays_hold_every_array_task_once(tasks: int, largest: int, parallel: int) -> None:
    found = [text.partition("%") for text in array_expressions(tasks, largest, parallel)]
    sizes = [int(indices.removeprefix("0-")) + 1 for indices, _, _ in found]
    assert sum(sizes) == tasks
    assert max(sizes) <= largest
    assert {limit for _, _, limit in found} == {str(parallel)}
