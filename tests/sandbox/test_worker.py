"""A shard with the real agent: every execution once, none in vain, whatever kills the worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from agents import alive, children, descendants, until

from hpc_runner.config import RunConfig
from hpc_runner.model import Verdict
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.journal import decode_lines
from hpc_runner.results.vote import Tally, certain_executions
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.perturbation import from_text, perturbation
from hpc_runner.sandbox.worker import EXIT_STOPPED

Start = Callable[..., "subprocess.Popen[str]"]

GOOD = "def f(x): return x + 1\n"
BAD = "def f(x): return x - 1\n"
TESTS = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}


def planned(where: Path, codes: list[str], tests: Any = TESTS, **options: Any) -> RunDir:
    """A run of one shard."""
    corpus = where / "corpus.jsonl"
    rows = [{"task_id": f"t/{n}", "code": c, "tests": tests} for n, c in enumerate(codes)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "corpus": (str(corpus),),
        "runtime": "local",
        "require_isolation": "limits",
        "shard_size": len(codes),
        **options,
    }
    run = RunDir(where / "run")
    plan(run, RunConfig.parse(values), progress=lambda _: None)
    return run


@pytest.fixture
def start(checkout: Path) -> Iterator[Start]:
    """Starts ``python -m hpc_runner.sandbox.worker RUN 0 0``."""
    started: list[subprocess.Popen[str]] = []

    def start(run: RunDir) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpc_runner.sandbox.worker", str(run.root), "0", "0"],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str]) -> int:
    _, said = process.communicate(timeout=90)
    if process.returncode not in (0, EXIT_STOPPED):
        pytest.fail(said)
    return process.returncode


def results(run: RunDir) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run.result(0, 0)).to_pylist()
    return rows


def verdicts(run: RunDir) -> dict[str, list[str]]:
    """Task → the verdicts of its rounds, in order."""
    found: dict[str, dict[int, str]] = {}
    for row in results(run):
        rounds = found.setdefault(row["task_id"], {})
        assert row["round"] not in rounds, "an execution has two rows"
        rounds[row["round"]] = row["verdict"]
    return {task: [rounds[n] for n in sorted(rounds)] for task, rounds in found.items()}


def kept(run: RunDir) -> dict[tuple[bytes, int], Any]:
    """(candidate, round) → when it began, of all that is on disk."""
    rows: list[dict[str, Any]] = []
    for path in run.parts(0, 0).glob("*.journal"):
        rows += decode_lines(path.read_bytes(), path)
    for path in [*run.parts(0, 0).glob("*.parquet"), run.result(0, 0)]:
        if path.exists():
            rows += pq.read_table(path).to_pylist()
    return {(row["candidate_id"], row["round"]): row["started_at"] for row in rows}


def slow(count: int, seconds: float) -> list[str]:
    return [f"import time\ntime.sleep({seconds})\n{GOOD}# {n}" for n in range(count)]


def test_a_row_says_what_an_execution_was(tmp_path: Path, start: Start) -> None:
    run = planned(tmp_path, [GOOD, BAD], rounds=1)
    assert ended(start(run)) == 0
    good, bad = sorted(results(run), key=lambda row: row["task_id"])
    assert (good["verdict"], good["judge"]) == ("accepted", "split")
    assert (good["round"], good["attempt"]) == (0, 0)
    assert (good["tests_passed"], good["tests_total"]) == (1, 1)
    assert (bad["verdict"], bad["tests_passed"]) == ("wrong_answer", 0)
    assert bad["tests"][0]["message"]
    for row in (good, bad):
        assert row["isolation"] in ("limits", "filtered", "full")
        assert row["host"] and row["python"] and row["agent_version"]
        assert row["wall_s"] > 0 and row["peak_memory_bytes"] > 0
        assert len(row["stdout_sha256"]) == 32


def test_rounds_differ_as_they_say(tmp_path: Path, start: Start) -> None:
    zone = "import time\nprint(time.tzname[0], hash('x'))"
    run = planned(tmp_path, [zone, zone + "#"], {"kind": "none"}, rounds=4, early_stop=False)
    assert ended(start(run)) == 0
    printed: dict[int, set[str]] = {}
    for row in results(run):
        made = from_text(row["perturbation"])
        planned_ = dict(perturbation(0, row["round"]))
        assert set(made) <= set(planned_)
        assert made.items() - {("locale", made.get("locale"))} <= planned_.items()
        assert ("EAST" in row["stdout_tail"]) == str(made.get("tz")).startswith("EAST")
        printed.setdefault(row["round"], set()).add(row["stdout_tail"])
    assert [len(texts) for texts in printed.values()] == [1] * 4
    assert len(set.union(*printed.values())) == 4


def test_without_perturbation_every_round_is_neutral(tmp_path: Path, start: Start) -> None:
    run = planned(tmp_path, ["print(hash('x'))"], {"kind": "none"}, rounds=3, perturb=False)
    assert ended(start(run)) == 0
    rows = results(run)
    assert [row["perturbation"] for row in rows] == ["neutral"] * 3
    assert len({row["stdout_tail"] for row in rows}) == 1


def test_a_finished_shard_is_not_run_again(tmp_path: Path, start: Start) -> None:
    run = planned(tmp_path, [GOOD])
    assert ended(start(run)) == 0
    before = run.result(0, 0).stat()
    assert ended(start(run)) == 0
    assert run.result(0, 0).stat() == before
    assert not list(run.wave(0).glob("parts/*/*"))


def test_early_stop_leaves_out_what_cannot_matter(tmp_path: Path, start: Start) -> None:
    flaky = "import os\ndef f(x): return x + 1 if os.urandom(1)[0] % 2 else 0\n"
    for early, least in ((True, certain_executions(9, 1, 0.6)), (False, 9)):
        where = tmp_path / str(early)
        where.mkdir()
        options = {"rounds": 9, "consensus_threshold": 0.6, "early_stop": early}
        options |= {"perturb": False}  # no round more, then, to find out what a verdict depends on
        run = planned(where, [GOOD, BAD, flaky], **options)
        assert ended(start(run)) == 0
        found = verdicts(run)
        assert set(found["t/0"]) == {"accepted"} and set(found["t/1"]) == {"wrong_answer"}
        assert len(found["t/0"]) == len(found["t/1"])
        assert least <= len(found["t/0"]) <= (6 if early else 9)
        tally = Tally(9, 0.6)
        for n, verdict in enumerate(found["t/2"]):
            assert not early or not tally.decided(), f"round {n} couldn't matter"
            tally.add(Verdict(verdict))
        assert tally.decided() or len(found["t/2"]) == 9


@pytest.mark.parametrize("threshold", [0.51, 0.8, 1.0])
@pytest.mark.parametrize("rounds", [1, 2, 3, 5, 9])
def test_certain_rounds_are_the_fewest_that_can_decide(rounds: int, threshold: float) -> None:
    certain = certain_executions(rounds, 1, threshold)
    assert 1 <= certain <= rounds
    pairs = [(a, b) for a in Verdict for b in Verdict]
    for first, second in pairs:
        tally = Tally(rounds, threshold)
        for n in range(certain - 1):
            tally.add(first if n % 2 == 0 else second)
            assert not tally.decided(), (first, second, n)


def test_stopping_keeps_what_was_done_and_resuming_does_the_rest(
    tmp_path: Path, start: Start
) -> None:
    run = planned(tmp_path, slow(12, 0.1), rounds=1)
    process = start(run)
    until(lambda: len(kept(run)) >= 3)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == EXIT_STOPPED
    before = kept(run)
    assert 3 <= len(before) < 12
    assert not run.result(0, 0).exists()
    assert list(run.parts(0, 0).glob("*.parquet")), "what was kept was not committed"
    assert ended(start(run)) == 0
    after = kept(run)
    assert len(after) == len(results(run)) == 12
    assert before.items() <= after.items()


def test_kill_9_loses_no_row_and_leaves_no_process(tmp_path: Path, start: Start) -> None:
    run = planned(tmp_path, slow(12, 0.1), rounds=1)
    before: dict[tuple[bytes, int], Any] = {}
    for _ in range(3):
        process = start(run)
        until(lambda: len(kept(run)) > len(before) + 1)  # noqa: B023
        family = descendants(process.pid)
        process.kill()
        process.wait()
        until(lambda: not any(map(alive, family)))  # noqa: B023
        now = kept(run)
        assert before.items() <= now.items()
        before = now
    assert ended(start(run)) == 0
    assert before.items() <= kept(run).items()
    assert {tuple(found) for found in verdicts(run).values()} == {("accepted",)}


def test_an_agent_killed_from_outside_costs_a_retry(tmp_path: Path, start: Start) -> None:
    run = planned(tmp_path, slow(10, 0.15), rounds=1, slots=2)
    process = start(run)
    until(lambda: len(kept(run)) >= 2)
    [agent] = children(process.pid)
    os.kill(agent, signal.SIGKILL)
    assert ended(process) == 0
    assert {tuple(found) for found in verdicts(run).values()} == {("accepted",)}
    attempts = Counter(row["attempt"] for row in results(run))
    # What waited in the agent for a slot is tried again as well.
    assert set(attempts) == {0, 1} and 1 <= attempts[1] <= 4


def test_two_live_copies_of_a_shard_end_in_one_result(tmp_path: Path, start: Start) -> None:
    run = planned(tmp_path, [*slow(8, 0.05), BAD], rounds=2)
    copies = [start(run), start(run)]
    assert [ended(copy) for copy in copies] == [0, 0]
    found = verdicts(run)
    assert found.pop("t/8") == ["wrong_answer"] * 2
    assert list(found.values()) == [["accepted"] * 2] * 8
    assert not list(run.wave(0).glob("parts/*/*"))


def test_isolation_that_cannot_be_had_stops_the_worker_at_once(
    tmp_path: Path, checkout: Path
) -> None:
    run = planned(tmp_path, [GOOD], require_isolation="full")
    launcher = checkout / "tests" / "hostile" / "without_namespaces.py"
    argv = [sys.executable, str(launcher), sys.executable, "-m", "hpc_runner.sandbox.worker"]
    began = time.monotonic()
    done = subprocess.run(
        [*argv, str(run.root), "0", "0"],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2  # not mended by trying again
    assert done.stderr.splitlines()[-1].startswith("IsolationError: isolation full is required")
    assert time.monotonic() - began < 20
    assert not run.result(0, 0).exists()
