"""Retrying: what was unjudged is run, what was judged stays, wherever it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from file_cluster import Ending, FileCluster, well
from made_plans import executions, planned
from refining import Refining

from hpc_runner.errors import RunError
from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.lock import CoordinatorLock
from hpc_runner.pipeline.retry import reopen_unjudged
from hpc_runner.pipeline.status import Watch
from hpc_runner.results.files import write_table
from hpc_runner.results.ledger import read_ledger
from hpc_runner.results.summary import summarise
from hpc_runner.rundir import RunDir


def finish(run: RunDir, how: Callable[[RunDir, int, int, int], Ending] = well) -> list[str]:
    said: list[str] = []
    run_to_end(
        run, FileCluster(run, how), on_change=lambda _: None, say=said.append,
        opener=Refining(), patience=Patience(backoff_s=0.0),
    )  # fmt: skip
    return said


def spoil(run: RunDir, shard: int, judge: str, *places: int) -> None:
    """As if these rows of a result had come to nothing."""
    path = run.result(0, shard)
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    for place in places:
        rows[place] |= {"verdict": "internal_error", "judge": judge}
    import pyarrow as pa

    from hpc_runner.results.schema import RESULTS

    path.unlink()
    write_table(path, pa.Table.from_pylist(rows, schema=RESULTS))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Twelve candidates in four shards, complete, three of them unjudged in some round."""
    run = planned(tmp_path)
    finish(run)
    spoil(run, 0, "exit", 0, 1, 2, 4)
    spoil(run, 2, "exit", 8)
    spoil(run, 3, "dependencies", 0)
    return run


def test_only_what_was_unjudged_is_run(run: RunDir) -> None:
    kept = pq.read_table(run.result(0, 0)).to_pylist()
    found = reopen_unjudged(run)
    assert (found.shards, found.candidates, found.executions, found.hopeless) == (2, 3, 5, 1)
    assert not run.summary.exists()
    assert Watch(run).look().shards_finished == 2
    finish(run)
    counts = list(executions(run).values())
    assert counts.count(2) == 5
    assert max(counts) == 2
    after = pq.read_table(run.result(0, 0)).to_pylist()
    assert [row for row in kept if row["verdict"] == "accepted"] == [
        row for n, row in enumerate(after) if kept[n]["verdict"] == "accepted"
    ]
    assert summarise(run).accepted == 12
    assert summarise(run).complete
    left = pq.read_table(run.result(0, 3)).to_pylist()
    assert [row["judge"] for row in left].count("dependencies") == 1


def test_where_nothing_is_unjudged_nothing_changes(tmp_path: Path) -> None:
    run = planned(tmp_path)
    finish(run)
    before = run.summary.read_bytes()
    assert reopen_unjudged(run).executions == 0
    assert run.summary.read_bytes() == before


def test_interrupted_between_part_and_result_it_is_as_it_was(run: RunDir) -> None:
    """The part is written, the result not yet removed; then somebody retries again."""
    result = run.result(0, 0).read_bytes()
    reopen_unjudged(run)
    run.result(0, 0).write_bytes(result)  # as if the removal had never happened
    finish(run)
    assert executions(run).most_common(1)[0][1] == 2
    reopen_unjudged(run)
    finish(run)
    assert summarise(run).accepted == 12
    assert max(executions(run).values()) == 2


def test_who_was_given_up_has_another_chance(tmp_path: Path) -> None:
    """What killed the workers was the cluster after all."""
    run = planned(tmp_path, candidates=6, killers={1}, shard_size=6)
    said = finish(run)
    assert any("is given up" in line for line in said)
    assert len(read_ledger(run, 0).killers) == 1
    assert reopen_unjudged(run).executions == 3
    assert read_ledger(run, 0).killers == []
    again = finish(run)  # and it is found again, for here it is the candidate
    assert any("is given up" in line for line in again)
    assert summarise(run).unjudged == 1
    assert summarise(run).accepted == 5


def test_not_while_a_coordinator_works_on_it(run: RunDir) -> None:
    with CoordinatorLock(run), pytest.raises(RunError, match="is being coordinated by process"):
        reopen_unjudged(run)
    assert run.result(0, 0).exists()
