"""Shards by time: every candidate in one of them, none too long, the slow ones first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.config import RunConfig
from hpc_runner.model import Candidate, Limits, Stdio
from hpc_runner.pipeline import sizing
from hpc_runner.pipeline.plan import plan
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.sizing import ByTime, execution_s, shard_s
from hpc_runner.results.candidates import read_shard, shard_count
from hpc_runner.rundir import RunDir


def candidate(task: str = "t", wall_s: float = 1.0, cases: int = 0) -> Candidate:
    tests = {"kind": "stdio", "cases": [{"stdin": "", "stdout": ""}] * cases} if cases else {}
    values = {"task_id": task, "code": "pass", "limits": Limits(wall_s=wall_s)}
    return Candidate(**values, **({"tests": Stdio.model_validate(tests)} if tests else {}))  # type: ignore[arg-type]


def cut(costs: list[float], budget_s: float) -> list[list[float]]:
    left = iter(costs)
    end = ByTime(budget_s, lambda _: next(left))
    one, shards, held = candidate(), [], 0
    for at in range(len(costs)):
        held += 1
        if end(held, one):
            shards.append(costs[at + 1 - held : at + 1])
            held = 0
    return [*shards, costs[len(costs) - held :]] if held else shards


@given(st.lists(st.floats(0.001, 100)), st.floats(0.01, 500))
def test_each_candidate_is_in_one_shard_and_none_is_longer_than_it_must(
    costs: list[float], budget_s: float
) -> None:
    shards = cut(costs, budget_s)
    assert [cost for shard in shards for cost in shard] == costs
    for shard in shards:
        assert sum(shard[:-1]) < budget_s
    for shard in shards[:-1]:
        assert sum(shard) >= budget_s - 1e-6


def test_a_shard_has_an_end_however_fast_its_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "MOST_BY_TIME", 3)
    assert [len(shard) for shard in cut([0.001] * 7, 100.0)] == [3, 3, 1]


@given(st.floats(0, 1e12), st.integers(0, 10**6))
def test_array_tasks_last_5_to_15_minutes(total_s: float, places: int) -> None:
    assert 300 <= shard_s(total_s, places) <= 900


def test_the_size_adapts_to_what_there_is_to_do() -> None:
    assert shard_s(100.0, 64) == 300.0
    assert shard_s(64 * 4 * 500.0, 64) == 500.0
    assert shard_s(1e9, 64) == 900.0


def test_what_is_expected_of_an_execution() -> None:
    assert execution_s(candidate(wall_s=1.0)) < execution_s(candidate(wall_s=10.0))
    assert execution_s(candidate(cases=50)) > execution_s(candidate(cases=1))
    assert execution_s(candidate(wall_s=2.0, cases=10**4)) == pytest.approx(2.04)
    assert execution_s(candidate(task="known"), {"known": 7.5}) == 7.5


def test_on_a_cluster_the_slow_ones_come_first(tmp_path: Path) -> None:
    limits = [1.0, 60.0, 1.0, 20.0, 1.0, 60.0]
    corpus = tmp_path / "corpus.jsonl"
    rows = [
        {"task_id": f"t/{n}", "code": f"accepted = {n}", "limits": {"wall_s": wall_s}}
        for n, wall_s in enumerate(limits)
    ]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = RunDir(tmp_path / "run")
    config = RunConfig.parse({"corpus": (str(corpus),), "runtime": "local", "workers": 256})
    info = plan(run, config, progress=lambda _: None, profile=Profile())
    assert info.shards == shard_count(run.candidates(0)) == 1  # few minutes: one array task
    laid = [row.limits.wall_s for _, _, row in read_shard(run.candidates(0), 0)]
    assert laid == [60.0, 60.0, 20.0, 1.0, 1.0, 1.0]
