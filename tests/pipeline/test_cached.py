"""Runs with a cache: what is not executed again, and what is, all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hpc_runner.config import RunConfig
from hpc_runner.export.run import export_run
from hpc_runner.pipeline.cache_check import check_entries
from hpc_runner.pipeline.coordinator import Phase, run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.cache import Cache
from hpc_runner.results.summary import Summary
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info

RIGHT = "def f(x):\n    return x + 1\n"
WRONG = "def f(x):\n    return x\n"


def row(task_id: str, code: str, expected: int = 2, **fields: Any) -> dict[str, Any]:
    tests = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": expected}]}
    return {"task_id": task_id, "code": code, "tests": tests} | fields


ROWS = [row("a", RIGHT), row("b", WRONG), row("c", RIGHT + "# c"), row("d", RIGHT)]


class Runs:
    """Runs of small corpora with one cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cache = directory / "cache"
        self.made = 0

    def run(self, rows: Sequence[dict[str, Any]], **options: Any) -> tuple[RunDir, RunInfo]:
        self.made += 1
        corpus = self.directory / f"corpus-{self.made}.jsonl"
        corpus.write_text("".join(json.dumps(item) + "\n" for item in rows))
        config = RunConfig.parse(
            {"corpus": (str(corpus),), "runtime": "local", "rounds": 3, "workers": 1}
            | {"cache": {"directory": str(self.cache)}} | options
        )  # fmt: skip
        run = RunDir(self.directory / f"run-{self.made}")
        plan(run, config, progress=lambda _text: None)
        state = run_to_end(run, LocalScheduler(1), on_change=lambda _state: None, say=print)
        assert state.phase is Phase.DONE
        return run, read_info(run)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def votes(run: RunDir) -> dict[str, list[Any]]:
    rows = sorted(pq.read_table(run.votes).to_pylist(), key=lambda row: str(row["candidate_id"]))
    return {row["candidate_id"]: [row[name] for name in sorted(row)] for row in rows}


def exported(run: RunDir) -> list[dict[str, Any]]:
    export_run(run, "jsonl", run.root / "out.jsonl")
    rows = map(json.loads, (run.root / "out.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "file"} for row in rows]


def executed(run: RunDir) -> set[str]:
    """The tasks of which something was executed."""
    files = [run.result(0, shard) for shard in run.finished_shards(0)]
    return {name for file in files for name in pq.read_table(file)["task_id"].to_pylist()}


def summary(run: RunDir) -> Summary:
    return Summary.model_validate_json(run.summary.read_bytes())


def test_the_second_run_executes_nothing_and_comes_to_the_same(runs: Runs) -> None:
    first, _ = runs.run(ROWS)
    second, info = runs.run(ROWS)
    assert executed(first) == {"a", "b", "c"}
    assert executed(second) == set()
    assert (info.candidates, info.cached, info.shards) == (3, 3, 0)
    assert votes(second) == votes(first)
    before, after = summary(first), summary(second)
    assert (after.complete, after.accepted, after.pass_at) == (True, 3, before.pass_at)
    assert (after.verdicts, after.cached, after.executions) == (before.verdicts, 3, 0)
    stats = Cache(runs.cache).stats()
    assert (stats.hits, stats.misses) == (3, 3)
    assert exported(second) == exported(first)


def test_after_a_test_has_changed_exactly_its_candidates_run(runs: Runs) -> None:
    runs.run(ROWS)
    changed = [*ROWS[:1], row("b", WRONG, expected=1), *ROWS[2:], row("new", RIGHT + "# new")]
    run, info = runs.run(changed)
    assert executed(run) == {"b", "new"}
    assert info.cached == 2
    assert summary(run).verdicts == {"accepted": 5}


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"rounds": 5}, False),
        ({"consensus_threshold": 0.9}, False),
        ({"judge": "inline"}, False),
        ({"workers": 2, "slots": 2, "early_stop": False}, True),
        ({"limits": {"wall_s": 3.0}}, False),
    ],
    ids=str,
)
def test_what_may_change_a_vote_makes_candidates_run(
    runs: Runs, options: dict[str, Any], known: bool
) -> None:
    runs.run(ROWS)
    run, _ = runs.run(ROWS, **options)
    assert executed(run) == (set() if known else {"a", "b", "c"})


def test_flaky_candidates_are_not_kept(runs: Runs) -> None:
    count = (
        "import os, random\n"
        "def f(x):\n"
        "    return x + (random.SystemRandom().random() < 0.5)\n"
    )  # fmt: skip
    for _ in range(2):
        run, info = runs.run([row("random", count), row("a", RIGHT)], rounds=15, early_stop=False)
    assert executed(run) == {"random"}
    assert info.cached == 1


def test_what_this_policy_refuses_is_refused_whatever_the_cache_knows(runs: Runs) -> None:
    rows = [row("eval", "def f(x):\n    return eval('x + 1')\n"), row("a", RIGHT)]
    runs.run(rows)
    run, info = runs.run(rows, policy={"mode": "refuse"})
    verdicts = {v["task_id"]: v["verdict"] for v in pq.read_table(run.votes).to_pylist()}
    assert verdicts == {"eval": "policy_violation", "a": "accepted"}
    assert info.cached == 1
    again, info = runs.run(rows)  # and the refusal was not kept
    assert summary(again).verdicts == {"accepted": 2}
    assert info.cached == 2


def test_a_run_that_requires_more_isolation_does_not_find_it(runs: Runs) -> None:
    first, _ = runs.run(ROWS)
    (level,) = summary(first).isolation
    entries = Cache(runs.cache).query("SELECT DISTINCT isolation FROM entries")
    assert entries["isolation"].to_pylist() == [level]


def test_readonly_learns_nothing(runs: Runs) -> None:
    runs.run(ROWS[:1])
    readonly = {"directory": str(runs.cache), "readonly": True}
    _, info = runs.run(ROWS, cache=readonly)
    assert info.cached == 1
    assert Cache(runs.cache).stats().entries == 1


def test_without_dedup_every_program_is_executed(runs: Runs) -> None:
    run, info = runs.run(ROWS, dedup=False, cache={})
    assert (info.samples, info.candidates, info.duplicates) == (4, 4, 0)
    assert executed(run) == {"a", "b", "c", "d"}
    assert summary(run).verdicts == {"accepted": 3, "wrong_answer": 1}


def test_damage_means_that_candidates_run_again(runs: Runs) -> None:
    runs.run(ROWS)
    (path,) = (runs.cache / "entries").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-7])
    run, info = runs.run(ROWS)
    assert executed(run) == {"a", "b", "c"}
    assert any("damaged" in warning for warning in info.warnings)


def test_a_sample_of_the_entries_is_executed_again(runs: Runs) -> None:
    first, _ = runs.run(ROWS)
    cache = Cache(runs.cache)
    checked = check_entries(cache, 1.0, workers=1, progress=lambda _text: None)
    assert (checked.entries, checked.held, checked.gone) == (3, 3, 0)
    assert checked.differences == []
    # An entry that a broken machine has made:
    entries = cache.query(
        "SELECT * EXCLUDE (last_used) FROM entries WHERE verdict = 'wrong_answer'"
    )
    place = entries.schema.get_field_index("verdict")
    cache.clear()
    cache.add(entries.set_column(place, "verdict", [["accepted"]]))
    checked = check_entries(cache, 1.0, workers=1, progress=lambda _text: None)
    (difference,) = checked.differences
    assert (difference.task_id, difference.cached, difference.found) == (
        "b", "accepted", "wrong_answer",
    )  # fmt: skip
    first.info.rename(first.info.with_suffix(".gone"))
    assert check_entries(cache, 1.0, workers=1, progress=lambda _text: None).gone == 1
