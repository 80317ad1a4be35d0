"""The candidates file of a wave: shards come back as they were written."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results.made_runs import make_candidate

from hpc_runner.errors import StorageError
from hpc_runner.model import Calls, Candidate, Case, Limits, Stdio, StdioCase
from hpc_runner.results.candidates import (
    SHARDS_PER_FILE,
    Checked,
    pieces,
    read_checked,
    read_columns,
    shard_sizes,
    wave_writer,
)
from hpc_runner.results.store import CandidateWriter, read_shard, shard_count
from hpc_runner.rundir import RunDir, piece

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
printable = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=30, deadline=None)
@given(code=printable, task_id=printable, value=plain, stdin=st.text(), env=printable)
def test_a_candidate_comes_back_with_its_id(
    tmp_path_factory: pytest.TempPathFactory,
    code: str,
    task_id: str,
    value: object,
    stdin: str,
    env: str,
) -> None:
    path = tmp_path_factory.mktemp("wave") / "candidates.parquet"
    made = [
        Candidate(
            task_id=task_id,
            code=code,
            tests=Calls(entry_point="f", cases=(Case(args=(value,), expected=value),)),
            env={"NAME": env},
        ),
        Candidate(
            task_id=task_id,
            code=code,
            tests=Stdio(cases=(StdioCase(stdin=stdin, stdout=""),)),
            limits=Limits(wall_s=1 / 3),
            dependencies=("numpy",),
            generation=2,
            parent=bytes(range(32)),
        ),
    ]
    with CandidateWriter(path) as writer:
        writer.write_shard([(c.candidate_id, n, c) for n, c in enumerate(made)])
    found = read_shard(path, 0)
    assert [(row, candidate) for _, row, candidate in found] == list(enumerate(made))
    assert all(candidate.candidate_id == identity for identity, _, candidate in found)


def test_infinity_is_no_null() -> None:
    def candidate(expected: float | None) -> Candidate:
        case = Case(args=(), expected=expected)
        return Candidate(task_id="t", code="", tests=Calls(entry_point="f", cases=(case,)))

    ids = {candidate(value).candidate_id for value in (None, math.inf, -math.inf, math.nan)}
    assert len(ids) == 4


def test_shards_are_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "waves" / "000" / "candidates.parquet"
    with CandidateWriter(path) as writer:
        for shard in range(3):
            made = [make_candidate(10 * shard + n) for n in range(shard + 1)]
            writer.write_shard([(c.candidate_id, n, c) for n, c in enumerate(made)])
        assert (writer.shards, writer.candidates) == (3, 6)
        assert not path.exists()
    assert shard_count(path) == 3
    assert [c.task_id for _, _, c in read_shard(path, 2)] == ["T/20", "T/21", "T/22"]
    with pytest.raises(StorageError, match="no shard 3: it has 3"):
        read_shard(path, 3)


def test_nothing_is_left_of_a_plan_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    bad = make_candidate(0).model_copy(update={"code": "\ud800"})
    with (
        pytest.raises(StorageError, match=r"row 5 \(task 'T/0'\) holds a lone surrogate"),
        CandidateWriter(path) as writer,
    ):
        writer.write_shard([(bad.candidate_id, 5, bad)])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    path.write_bytes(b"nothing")
    with pytest.raises(StorageError, match=str(path)):
        shard_count(path)


def test_what_the_policy_found_is_kept_beside_the_candidates(tmp_path: Path) -> None:
    made = [make_candidate(n) for n in range(3)]
    ids = [c.candidate_id for c in made]
    found = {
        ids[0]: Checked(("HR301 eval: line 1",)),
        ids[2]: Checked(("HR301 eval: line 2", "HR503 os._exit: line 3"), "HR503 os._exit: line 3"),
    }
    path = tmp_path / "candidates.parquet"
    with CandidateWriter(path) as writer:
        writer.write_shard([(c.candidate_id, n, c) for n, c in enumerate(made)], found)
    assert read_checked(path, 0) == found
    assert [row[2] for row in read_shard(path, 0)] == made


def test_candidates_of_a_version_without_policy_have_no_findings(tmp_path: Path) -> None:
    made = make_candidate(1)
    path = tmp_path / "candidates.parquet"
    with CandidateWriter(path) as writer:
        writer.write_shard([(made.candidate_id, 0, made)])
    pq.write_table(pq.read_table(path).drop_columns(["findings", "refused"]), path)
    assert read_checked(path, 0) == {}
    assert read_shard(path, 0)[0][2] == made


def test_many_shards_lie_in_several_files(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    count = 2 * SHARDS_PER_FILE + 3
    made = [make_candidate(n) for n in range(count)]
    with wave_writer(run, 0) as writer:
        for number, candidate in enumerate(made):
            writer.write_shard([(candidate.candidate_id, number, candidate)])
        assert not run.candidates(0).exists(), "it says that the others are there"
    files = pieces(run.candidates(0))
    assert [path.name for path in files] == [
        "candidates.parquet", "candidates-001.parquet", "candidates-002.parquet",
    ]  # fmt: skip
    assert shard_count(run.candidates(0)) == count
    for shard in (0, SHARDS_PER_FILE - 1, SHARDS_PER_FILE, count - 1):
        ((identity, row, candidate),) = read_shard(run.candidates(0), shard)
        assert (identity, row, candidate) == (made[shard].candidate_id, shard, made[shard])
        assert read_checked(run.candidates(0), shard) == {}
    with pytest.raises(StorageError, match=f"has no shard {count}: it has {count}"):
        read_shard(run.candidates(0), count)
    told = shard_sizes(run, 0)
    assert told == (1,) * count
    run.shard_sizes(0).unlink()
    os.utime(run.candidates(0))
    assert shard_sizes(run, 0) == told
    few = range(SHARDS_PER_FILE - 1, SHARDS_PER_FILE + 2)
    rows = read_columns(run.candidates(0), few, ["row"])["row"].to_pylist()
    assert rows == list(few)


def test_of_a_wave_that_is_not_completed_nothing_is_left(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    candidate = make_candidate(0)

    def stop_in_the_second_file() -> None:
        with wave_writer(run, 0) as writer:
            for number in range(SHARDS_PER_FILE + 1):
                writer.write_shard([(candidate.candidate_id, number, candidate)])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_in_the_second_file()
    assert list(run.wave(0).iterdir()) == []


def test_what_a_killed_writer_left_is_no_part_of_the_wave(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.wave(0).mkdir(parents=True)
    piece(run.candidates(0), 1).write_text("of somebody who died")
    candidate = make_candidate(0)
    with wave_writer(run, 0) as writer:
        writer.write_shard([(candidate.candidate_id, 0, candidate)])
    assert pieces(run.candidates(0)) == [run.candidates(0)]
