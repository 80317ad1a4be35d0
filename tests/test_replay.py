"""An execution done again is the execution that was recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, RunError
from hpc_runner.pipeline.plan import plan
from hpc_runner.replay import Wanted, replay
from hpc_runner.report.replay import render_replay
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.agent import TAIL_BYTES

ROUNDS = 6
NONE = {"kind": "none"}
CALLS = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}
DOUBLED = {
    "kind": "stdio",
    "cases": [{"stdin": "1", "stdout": "2"}, {"stdin": "x", "stdout": "y"}],
}
ALL_THAT_ROUNDS_DIFFER_IN = (
    "import os, sys, time\nclass A: pass\nthings = [A() for _ in range(9)]\n"
    "print(hash('a'), time.tzname, sorted(os.environ), os.getcwd(), sys.getswitchinterval(),\n"
    "      len(os.sched_getaffinity(0)), time.monotonic() // 86400)\n"
)
LONG = f"import sys\nprint('é' * {TAIL_BYTES})\nprint('\\x1b[31mred\\r', file=sys.stderr)\n"
CORPUS: list[dict[str, Any]] = [
    {"task_id": "all", "code": ALL_THAT_ROUNDS_DIFFER_IN, "tests": NONE},
    {"task_id": "two", "code": "def f(x): return x + 1", "tests": CALLS},
    {"task_id": "two", "code": "def f(x): return x - 1", "tests": CALLS},
    {"task_id": "zone", "code": "import time\nassert time.tzname[0] == 'UTC', 'a\\nb'"},
    {"task_id": "cases", "code": "print(int(input()) * 2)", "tests": DOUBLED},
    {"task_id": "long", "code": LONG, "tests": NONE},
    {"task_id": "one process", "code": "def f(x): return x + 1\ndef seed(): 0", "tests": {
        "kind": "assertions", "code": "", "cases": ["seed()", "assert f(1) == 2"]}},
    {"task_id": "inode", "code": (
        "import os, tempfile\nprint(os.stat(tempfile.mkdtemp()).st_size)"), "tests": NONE},
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> RunDir:
    top = tmp_path_factory.mktemp("replay")
    corpus = top / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    values = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
    found = RunDir(top / "run")
    config = RunConfig.parse(
        {**values, "rounds": ROUNDS, "early_stop": False, "shard_size": len(CORPUS)}
    )
    plan(found, config, progress=lambda _: None)
    command = [sys.executable, "-m", "hpc_runner.sandbox.worker", str(found.root), "0", "0"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run(command, env=environment, check=True, timeout=120)
    return found


@pytest.fixture
def again(run: RunDir) -> Callable[..., Any]:
    def done(candidate: str, round_: int, **which: Any) -> Any:
        return replay(run, Wanted(candidate, round_, **which))

    return done


def rows(run: RunDir) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(run.result(0, 0)).to_pylist()
    return found


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_program_sees_the_same_again(again: Callable[..., Any], round_: int) -> None:
    done = again("all", round_)
    assert done.same
    assert done.row["perturbation"] == done.recorded["perturbation"]
    assert done.row["stdout_sha256"] == done.recorded["stdout_sha256"]
    assert done.outputs[0][0] == done.recorded["stdout_tail"]


def test_every_round_of_it_was_another_one(run: RunDir) -> None:
    printed = {row["stdout_tail"] for row in rows(run) if row["task_id"] == "all"}
    assert len(printed) == ROUNDS - 1  # the sixth repeats the first


@pytest.mark.parametrize("row", range(len(CORPUS)))
def test_by_id_every_verdict_is_the_same(run: RunDir, row: int) -> None:
    first = {(r["task_id"], r["candidate_id"]): r for r in rows(run) if r["round"] == 2}
    recorded = list(first.values())[row]
    done = replay(run, Wanted(recorded["candidate_id"].hex()[:16].upper(), 2))
    assert done.recorded == recorded
    assert done.same
    for column in ("tests_passed", "tests_total", "judge", "error_type", "error_message"):
        assert done.row[column] == recorded[column], column
    assert [t["outcome"] for t in done.row["tests"]] == [t["outcome"] for t in recorded["tests"]]


def test_the_whole_output_is_shown_and_moves_no_cursor(again: Callable[..., Any]) -> None:
    done = again("long", 1)
    assert done.outputs == [["é" * TAIL_BYTES + "\n", "\x1b[31mred\r\n"]]
    shown = render_replay(done, show_code=True)
    assert "é" * TAIL_BYTES in shown
    assert "| \\x1b[31mred\\x0d\n" in shown
    assert "| import sys" in shown and "| import sys" not in render_replay(done)
    assert not {c for c in shown if ord(c) < 32} - {"\n"}


def test_each_run_of_a_program_is_shown(again: Callable[..., Any]) -> None:
    done = again("cases", 0)
    assert [stdout for stdout, _ in done.outputs] == ["2\n", ""]
    shown = render_replay(done)
    assert "Standard output of run 0\n  | 2\n" in shown
    assert "Standard error of run 1\n  | Traceback" in shown
    assert "ValueError" in shown and shown.endswith("The same verdict as recorded.")


def test_what_differs_is_said(again: Callable[..., Any]) -> None:
    done = again("zone", 1)
    assert done.same and done.row["verdict"] == "runtime_error"
    other = replace(done, recorded={**done.recorded, "verdict": "accepted", "python": "3.8.1"})
    assert not other.same
    shown = render_replay(other)
    assert "the interpreter: 3.8.1, now 3." in shown
    assert "Another verdict than recorded: runtime_error instead of accepted." in shown


def test_a_sample_of_a_task(again: Callable[..., Any]) -> None:
    assert again("two", 0, sample=0).row["verdict"] == "accepted"
    assert again("two", 0, sample=1).row["verdict"] == "wrong_answer"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((Wanted("two", 0)), r"several candidates.*\(two, sample 0\); \w{12} \(two, sample 1\)"),
        ((Wanted("two", 0, sample=2)), r"--sample: two has samples 0 to 1 \(found 2\)"),
        ((Wanted("nothing", 0)), r"no candidate .* 'nothing'"),
        ((Wanted("ffffffffffff", 0)), r"no candidate .* 'ffffffffffff'"),
        ((Wanted("all", 6)), r"--round: .* has rounds 0, 1, 2, 3, 4, 5 \(found 6\)"),
        ((Wanted("all", 0, environment="py2")), r"--environment: .* run in py3\d+ \(found py2\)"),
    ],
)
def test_what_is_not_there_is_named(run: RunDir, words: Wanted, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        replay(run, words)


def test_what_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        replay(RunDir(tmp_path), Wanted("all", 0))


def command(run: RunDir, checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpc_runner", "replay", str(run.root), *words],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_and_its_exit_codes(run: RunDir, checkout: Path, tmp_path: Path) -> None:
    same = command(run, checkout, "zone", "--round", "1", "--show-code")
    assert same.returncode == 0, same.stderr
    assert "The same verdict as recorded." in same.stdout
    missing = command(run, checkout, "zone", "--round", "99")
    assert missing.returncode == 2 and "--round" in missing.stderr
    other = RunDir(tmp_path / "other")
    other.root.mkdir()
    for path in (run.info, run.samples, run.candidates(0), run.result(0, 0)):
        copied = other.root / path.relative_to(run.root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    table = pq.read_table(run.result(0, 0))
    verdicts = ["accepted"] * table.num_rows
    place = table.schema.get_field_index("verdict")
    changed = table.set_column(place, table.schema.field(place), [verdicts_as(table, verdicts)])
    pq.write_table(changed, other.result(0, 0))
    differs = command(other, checkout, "zone", "--round", "1")
    assert differs.returncode == 1, differs.stderr
    assert "runtime_error instead of accepted" in differs.stdout


def verdicts_as(table: Any, verdicts: list[str]) -> Any:
    import pyarrow as pa

    return pa.array(verdicts).cast(table.schema.field("verdict").type)
