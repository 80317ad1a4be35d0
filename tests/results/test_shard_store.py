"""The store keeps what it has acknowledged, whatever dies, and ends in one valid result."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from results.made_runs import make_row

from hpc_runner.errors import StorageError
from hpc_runner.model import Verdict
from hpc_runner.results.schema import RESULTS
from hpc_runner.results.store import Known, ShardStore, result_verdicts
from hpc_runner.rundir import RunDir


def identity(number: int) -> bytes:
    return number.to_bytes(32, "big")


def open_store(root: Path, writer: str = "a", **options: float) -> ShardStore:
    return ShardStore(RunDir(root), 0, 0, writer=writer, **options)  # type: ignore[arg-type]


def known(root: Path, writer: str = "reader") -> list[Known]:
    return list(open_store(root, writer).recovered())


def result_rows(path: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def test_a_row_comes_back_exactly_as_it_was_given(tmp_path: Path) -> None:
    row = make_row(
        identity(7),
        2,
        verdict="runtime_error",
        stdout_tail='ünïcode \n "quoted" \x00 \u2028 😀',
        tests=[{"name": "é", "outcome": "not_run", "wall_s": 0.1 + 0.2, "message": "m\n"}] * 2,
        signal=11,
        exit_code=None,
        wall_s=1 / 3,
        environment_digest=bytes(range(32)),
        error_type="ValueError",
        suspicion=["a", "b"],
    )
    row["started_at"] = row["started_at"].replace(microsecond=123_457)
    store = open_store(tmp_path)
    store.append(row)
    assert result_rows(store.finish()) == [row]
    schema = pq.ParquetFile(store.finish()).schema_arrow
    assert schema.equals(RESULTS) and schema.metadata.items() >= (RESULTS.metadata or {}).items()
    assert result_verdicts(store.finish()) == {row["verdict"]: 1}


def test_lone_surrogates_do_not_stop_a_shard(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(make_row(identity(1), stdout_tail="a\ud800b"))
        assert result_rows(store.finish())[0]["stdout_tail"] == "a?b"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"round": "0"}, "'round': expected int"),
        ({"round": False}, "'round': expected int"),
        ({"candidate_id": b"short"}, "'candidate_id': expected 32 bytes"),
        ({"verdict": None}, "'verdict'"),
    ],
)
def test_a_wrong_row_is_refused_at_once(
    tmp_path: Path, columns: dict[str, object], message: str
) -> None:
    store = open_store(tmp_path)
    with pytest.raises((TypeError, ValueError), match=message):
        store.append(make_row(identity(1)) | columns)
    incomplete = make_row(identity(1))
    del incomplete["host"]
    with pytest.raises(ValueError, match=r"missing.*host"):
        store.append(incomplete)
    assert known(tmp_path) == []


def test_parts_are_committed_by_rows_and_by_time(tmp_path: Path) -> None:
    store = open_store(tmp_path, part_rows=3, part_s=3600)
    parts = RunDir(tmp_path).parts(0, 0)
    for n in range(7):
        store.append(make_row(identity(n)))
    assert sorted(p.name for p in parts.glob("*.parquet")) == ["a-0000.parquet", "a-0001.parquet"]
    assert (parts / "a.journal").read_bytes().count(b"\n") == 1
    impatient = open_store(tmp_path, "b", part_s=0)
    impatient.append(make_row(identity(9)))
    assert (parts / "b-0000.parquet").exists()
    assert len(known(tmp_path)) == 8


def test_the_same_writer_goes_on_after_itself(tmp_path: Path) -> None:
    for start in range(0, 30, 10):
        with open_store(tmp_path, part_rows=4) as store:
            for n in range(start, start + 10):
                store.append(make_row(identity(n)))
    store = open_store(tmp_path)
    assert len(list(store.recovered())) == 30
    rows = result_rows(store.finish())
    assert [row["candidate_id"] for row in rows] == [identity(n) for n in range(30)]
    assert not RunDir(tmp_path).parts(0, 0).exists()


def test_a_torn_last_line_is_ignored_and_the_rest_believed(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        for n in range(3):
            store.append(make_row(identity(n)))
    journal = RunDir(tmp_path).parts(0, 0) / "a.journal"
    whole = journal.read_bytes()
    start_of_last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for length in range(start_of_last, len(whole), 97):
        journal.write_bytes(whole[:length])
        assert [found.key[0] for found in known(tmp_path)] == [identity(0), identity(1)]
    with open_store(tmp_path) as store:  # the writer that tore it goes on behind the torn line
        store.append(make_row(identity(5)))
    assert [found.key[0] for found in known(tmp_path)] == [identity(n) for n in (0, 1, 5)]


def test_a_damaged_line_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(tmp_path) as store:
        for n in range(3):
            store.append(make_row(identity(n)))
    journal = RunDir(tmp_path).parts(0, 0) / "a.journal"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([lines[0], bytes(len(lines[1])), lines[2], b""]))
    with caplog.at_level(logging.WARNING):
        assert [found.key[0] for found in known(tmp_path)] == [identity(0), identity(2)]
    assert "line 2" in caplog.text and str(journal) in caplog.text


def test_a_crash_between_the_part_and_the_emptied_journal_duplicates_nothing(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    for n in range(5):
        store.append(make_row(identity(n)))
    journal = RunDir(tmp_path).parts(0, 0) / "a.journal"
    before = journal.read_bytes()
    store.commit()
    store.close()
    journal.write_bytes(before)
    again = open_store(tmp_path)
    assert len(list(again.recovered())) == 5
    again.append(make_row(identity(5)))
    assert len(result_rows(again.finish())) == 6


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_a_damaged_part_is_set_aside_and_its_executions_run_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with open_store(tmp_path, part_rows=10) as store:
        for n in range(20):
            store.append(make_row(identity(n), stdout_tail=os.urandom(50).hex()))
    part = RunDir(tmp_path).parts(0, 0) / "a-0000.parquet"
    content = bytearray(part.read_bytes())
    if damage == "flipped":
        content[200] ^= 0xFF
    part.write_bytes(content[: {"truncated": len(content) // 2, "empty": 0}.get(damage)])
    again = open_store(tmp_path, "b")
    with caplog.at_level(logging.WARNING):
        found = [item.key[0] for item in again.recovered()]
    assert found == [identity(n) for n in range(10, 20)]
    assert str(part) in caplog.text
    assert part.with_name("a-0000.parquet.damaged").exists()
    for n in range(10):
        again.append(make_row(identity(n)))
    assert len(result_rows(again.finish())) == 20


def test_rows_that_vanish_before_the_end_are_not_passed_over(tmp_path: Path) -> None:
    store = open_store(tmp_path, part_rows=2)
    for n in range(4):
        store.append(make_row(identity(n)))
    (RunDir(tmp_path).parts(0, 0) / "a-0001.parquet").unlink()
    with pytest.raises(StorageError, match=r"2 rows .* are gone"):
        store.finish()
    assert not store.finished


def test_a_judged_row_goes_before_an_internal_error_and_the_most_attempts_count(
    tmp_path: Path,
) -> None:
    with open_store(tmp_path, "z") as late, open_store(tmp_path, "b") as early:
        early.append(make_row(identity(0), verdict="internal_error", attempt=0))
        late.append(make_row(identity(0), verdict="wrong_answer", attempt=1))
        early.append(make_row(identity(1), verdict="accepted", host="of b"))
        late.append(make_row(identity(1), verdict="time_limit", host="of z"))
        late.append(make_row(identity(2), verdict="internal_error", attempt=2))
        early.append(make_row(identity(2), verdict="internal_error", attempt=1))
    assert [(item.verdict, item.attempt) for item in known(tmp_path)] == [
        (Verdict.WRONG_ANSWER, 1),
        (Verdict.ACCEPTED, 0),
        (Verdict.INTERNAL_ERROR, 2),
    ]


def test_two_live_writers_end_in_one_result(tmp_path: Path) -> None:
    first, second = open_store(tmp_path, "a", part_rows=3), open_store(tmp_path, "b", part_rows=4)
    for n in range(10):
        first.append(make_row(identity(n), host="a"))
        if n < 7:
            second.append(make_row(identity(n), host="b"))
    path = first.finish()
    content = path.read_bytes()
    for n in range(7, 15):  # the other one hasn't heard of it yet
        second.append(make_row(identity(n), host="b"))
    assert second.finished
    assert second.finish() == path
    assert path.read_bytes() == content
    rows = result_rows(path)
    assert [(row["candidate_id"], row["host"]) for row in rows] == [
        (identity(n), "a") for n in range(10)
    ]
    assert not RunDir(tmp_path).parts(0, 0).exists()


def test_a_finished_shard_takes_nothing_and_makes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(make_row(identity(0)))
    path = store.finish()
    late = open_store(tmp_path, "b")
    late.append(make_row(identity(1)))
    late.commit()
    assert late.finished and not RunDir(tmp_path).parts(0, 0).exists()
    assert len(result_rows(late.finish())) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_empty_shard_has_a_result(tmp_path: Path) -> None:
    assert result_rows(open_store(tmp_path).finish()) == []


def test_what_killed_writers_left_of_a_result_is_swept(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(make_row(identity(0)))
    result = RunDir(tmp_path).result(0, 0)
    result.parent.mkdir(parents=True)
    (result.parent / f".{result.name}.12-ab.tmp").write_bytes(b"half")
    store.finish()
    assert [entry.name for entry in result.parent.iterdir()] == [result.name]


APPENDER = """
import itertools
import sys
from pathlib import Path
from hpc_runner.results.store import ShardStore
from hpc_runner.rundir import RunDir
from results.made_runs import make_row
store = ShardStore(RunDir(Path(sys.argv[1])), 0, 0, writer="w" + sys.argv[2], part_rows=40)
print("ready", flush=True)
for n in itertools.count(int(sys.argv[3])):
    store.append(make_row(n.to_bytes(32, "big"), stderr_tail="x" * 3000))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def test_kill_9_at_random_moments_loses_no_acknowledged_row(tmp_path: Path) -> None:
    """Each round appends behind the rows of the one before, is killed, and what the
    next one finds is what was acknowledged, and at most the one row that was in flight."""
    generator = random.Random(5)
    project = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{project / 'tests'}"}
    acknowledged: set[int] = set()
    rounds = 8
    for attempt in range(rounds):
        start = max(acknowledged, default=-1) + 2
        command = [sys.executable, "-c", APPENDER, str(tmp_path), str(attempt % 3), str(start)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + generator.uniform(0.0, 0.15)
        said = b""
        while time.monotonic() < deadline:
            said += os.read(process.stdout.fileno(), 65_536)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        process.stdout.close()
        process.wait()
        acknowledged |= {int(line) for line in said.split(b"\n")[:-1]}
        found = {int.from_bytes(item.key[0], "big") for item in known(tmp_path)}
        assert acknowledged <= found
        assert len(found - acknowledged) <= attempt + 1
    assert len(acknowledged) > 100
    store = open_store(tmp_path, "last")
    rows = result_rows(store.finish())
    assert {int.from_bytes(row["candidate_id"], "big") for row in rows} == found  # type: ignore[arg-type]
    assert len(rows) == len(found)


def test_a_failed_write_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(make_row(identity(0)))
    RunDir(tmp_path).results(0).write_text("a file where a directory should be")
    with pytest.raises(StorageError, match="results"):
        store.finish()
    assert len(known(tmp_path)) == 1


def test_the_worker_path_does_not_import_the_dataset_module() -> None:
    code = (
        "import sys, hpc_runner.results.store;"
        "bad = {'pyarrow.dataset', 'duckdb', 'rich'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
