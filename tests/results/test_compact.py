"""Compaction: few files, and the same rows for whoever reads, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from results.made_runs import MadeCandidate, make_candidate, make_row, make_run

from hpc_runner.errors import StorageError
from hpc_runner.pipeline.retry import reopen_unjudged
from hpc_runner.pipeline.status import Watch
from hpc_runner.results import compact as module
from hpc_runner.results.ask import answer
from hpc_runner.results.compact import compact, take_apart
from hpc_runner.results.query import result_files, steady
from hpc_runner.results.store import ShardStore
from hpc_runner.results.summary import summarise
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir

ROOT = Path(__file__).resolve().parents[2]
SHARDS = 30
UNJUDGED = 7
"""The shard with an execution that failed on us."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_IT", 20)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    candidates = [
        MadeCandidate(f"T/{n}", ["accepted", "wrong_answer" if n % 5 else "accepted"])
        for n in range(SHARDS)
    ]
    candidates[UNJUDGED] = MadeCandidate("T/7", ["accepted", "internal_error"])
    run = make_run(tmp_path_factory.mktemp("made") / "run", candidates, shards=SHARDS, rounds=2)
    vote(run, 0, 0.8)
    return run


@pytest.fixture
def run(made: RunDir, tmp_path: Path) -> RunDir:
    """A copy; files are never changed in place, so links will do."""
    for path in made.root.rglob("*"):
        target = tmp_path / "run" / path.relative_to(made.root)
        if path.is_dir():
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return RunDir(tmp_path / "run")


def seen(run: RunDir) -> dict[str, Any]:
    """By all who read results."""
    rows = [row for batch in answer(run, "FROM results") for row in batch.to_pylist()]
    for row in rows:
        row.pop("file_row_number")
    files = [pq.read_table(path).to_pylist() for path in result_files(run, [0])]
    vote(run, 0, 0.8)
    watched = Watch(run).look()
    return {
        "asked": sorted(rows, key=lambda row: (row["shard"], row["round"])),
        "read": [row for file in files for row in file],
        "votes": pq.read_table(run.votes).to_pylist(),
        "summary": summarise(run),
        "finished": run.finished_shards(0),
        "counted": (watched.verdicts, watched.shards_finished),
    }


def names(run: RunDir) -> list[str]:
    return sorted(path.name for path in run.results(0).rglob("*.parquet"))


def test_many_small_files_become_one_with_the_same_rows(run: RunDir) -> None:
    before = seen(run)
    assert compact(run, 0) == 1
    assert names(run) == [f"00000-{SHARDS - 1:05d}.parquet"]
    assert seen(run) == before
    assert before["read"] == sorted(before["read"], key=lambda row: (row["shard"], row["round"]))
    assert compact(run, 0) == 0


def test_few_files_stay(tmp_path: Path) -> None:
    run = make_run(tmp_path, [MadeCandidate(f"T/{n}", ["accepted"]) for n in range(19)], shards=19)
    assert compact(run, 0) == 0
    assert len(names(run)) == 19


def test_a_file_that_cannot_be_read_stays_and_all_beside_it(run: RunDir) -> None:
    broken = run.result(0, 29)
    broken.unlink()
    broken.write_bytes(b"PAR1 this is no Parquet file PAR1")
    assert compact(run, 0) == 0
    assert len(names(run)) == SHARDS and not list(run.compacted(0).iterdir())


KILLED = """
import os, signal, sys, time
from pathlib import Path
from hpc_runner.results import compact
from hpc_runner.rundir import RunDir

root, call, left = sys.argv[1], sys.argv[2], int(sys.argv[3])

def see(event, arguments):
    global left
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
    if writes or event in ("os.rename", "os.remove", "os.mkdir"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # killed here

compact.WORTH_IT = 20
sys.addaudithook(see)
eval(call, {**vars(compact), "run": RunDir(Path(root))})
"""


def killed(run: RunDir, call: str, deadly: int) -> bool:
    """Whether a process that makes this call was killed before its ``deadly``-th change."""
    words = [sys.executable, "-c", KILLED, str(run.root), call, str(deadly)]
    code = subprocess.run(words, cwd=ROOT, check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize("deadly", [1, 2, 3, 4, SHARDS, SHARDS + 2])
def test_whoever_dies_in_between_every_reader_sees_the_same(run: RunDir, deadly: int) -> None:
    before = seen(run)
    assert killed(run, "compact(run, 0)", deadly)
    assert seen(run) == before
    compact(run, 0)
    assert names(run) == [f"00000-{SHARDS - 1:05d}.parquet"]
    assert seen(run) == before


@pytest.mark.parametrize("deadly", [1, 2, 15, 2 * SHARDS, 2 * SHARDS + 1])
def test_taking_apart_may_be_killed_too(run: RunDir, deadly: int) -> None:
    before, files = seen(run), names(run)
    compact(run, 0)
    assert killed(run, f"take_apart(run, 0, range({SHARDS}))", deadly)
    assert seen(run) == before
    take_apart(run, 0, range(SHARDS))
    assert names(run) == files
    assert seen(run) == before


def test_a_late_copy_of_a_shard_does_no_harm(run: RunDir) -> None:
    before = seen(run)
    late = ShardStore(run, 0, 3, writer="late")
    candidate = make_candidate(3, "T/3").candidate_id
    other = make_row(candidate, shard=3, task_id="T/3", verdict="time_limit")
    while_it_ran = run.result(0, 3)
    compact(run, 0)
    late.append(other)
    assert late.finished
    late.finish()
    assert seen(run) == before
    # One that had looked just before, and renames its result into place just after.
    copy = make_run(run.root.parent / "late", [MadeCandidate("T/3", ["time_limit"])])
    while_it_ran.write_bytes(copy.result(0, 0).read_bytes())
    assert seen(run) == before
    compact(run, 0)
    assert not while_it_ran.exists() and seen(run) == before


def test_a_shard_can_run_again(run: RunDir) -> None:
    compact(run, 0)
    found = reopen_unjudged(run)
    assert (found.shards, found.executions) == (1, 1)
    assert run.finished_shards(0) == set(range(SHARDS)) - {UNJUDGED}
    with ShardStore(run, 0, UNJUDGED, writer="again") as store:
        assert [known.key[2] for known in store.recovered()] == [0]
        candidate = make_candidate(UNJUDGED, "T/7").candidate_id
        store.append(make_row(candidate, 1, shard=UNJUDGED, task_id="T/7"))
        store.finish()
    whole = seen(run)
    assert "internal_error" not in whole["counted"][0]
    compact(run, 0)
    assert seen(run) == whole


def test_damage_is_named_and_can_be_mended_by_running_again(run: RunDir) -> None:
    compact(run, 0)
    (path,) = run.compacted(0).iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    for ask in (lambda: reopen_unjudged(run), lambda: take_apart(run, 0, range(SHARDS))):
        with pytest.raises(StorageError, match=path.name):
            ask()
    path.unlink()
    assert run.finished_shards(0) == set()


def test_a_reader_that_began_before_asks_again(run: RunDir) -> None:
    tries = []

    def ask() -> int:
        files = result_files(run, [0])
        tries.append(len(files))
        if len(tries) == 1:
            compact(run, 0)
        try:
            return sum(pq.read_metadata(path).num_rows for path in files)
        except OSError as error:
            raise StorageError(str(error)) from error

    assert steady(run, ask) == 2 * SHARDS
    assert tries == [SHARDS, 1]
    with pytest.raises(StorageError, match="for another reason"):
        steady(run, lambda: (_ for _ in ()).throw(StorageError("for another reason")))
