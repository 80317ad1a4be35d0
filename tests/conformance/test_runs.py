"""Every runtime: whole runs, by the command, with containers that die in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from agents import calls, descendants
from subjects import Subject, command_line

from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.spec import AGENT, AGENT_IN_CONTAINER

ADD = calls(([1, 2], 3), name="add")
RIGHT = "import time\ntime.sleep({pause})\ndef add(a, b): return a + b\n# {number}\n"
WRONG = RIGHT.replace("a + b", "a - b")
CRASH = RIGHT.replace("a + b", "a / 0")
WANTED = ("accepted", "wrong_answer", "runtime_error")


def _corpus(where: Path, count: int, pause: float) -> tuple[Path, dict[str, str]]:
    """A corpus, and the verdict of each of its tasks."""
    rows, wanted = [], {}
    for number in range(count):
        code = (RIGHT, WRONG, CRASH)[number % 3].format(number=number, pause=pause)
        rows.append({"task_id": f"t/{number}", "code": code, "tests": ADD})
        wanted[f"t/{number}"] = WANTED[number % 3]
    file = where / "corpus.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file, wanted


def _start(subject: Subject, corpus: Path, out: Path, **options: int) -> subprocess.Popen[str]:
    if subject.run_by is None:
        pytest.skip("the checkout can't be read by the user of this subject")
    given = {"rounds": 2, "workers": 2, "slots": 2, **options}
    argv = [sys.executable, "-m", "hpc_runner", "run", str(corpus), "--out", str(out), "--quiet"]
    argv += ["--runtime", subject.runtime.name, "--require-isolation", "limits"]
    argv += [word for name, value in given.items() for word in (f"--{name}", str(value))]
    home = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        argv,
        env={**os.environ, "PYTHONPATH": str(home), **subject.run_by},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def _ended(process: subprocess.Popen[str]) -> None:
    try:
        said, _ = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
    assert process.returncode == 0, said


def _rows(out: Path) -> list[dict[str, Any]]:
    files = sorted(RunDir(out).result(0, 0).parent.glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_a_run_of_two_workers(subject: Subject, tmp_path: Path) -> None:
    corpus, wanted = _corpus(tmp_path, 30, 0.0)
    _ended(_start(subject, corpus, tmp_path / "run"))
    rows = _rows(tmp_path / "run")
    assert {(row["task_id"], row["verdict"]) for row in rows} == set(wanted.items())
    assert len(rows) == 60
    digest = None if subject.image is None else subject.image.digest
    assert {row["environment_digest"] for row in rows} == {digest}
    assert {row["runtime"] for row in rows} == {subject.runtime.name}
    assert {row["isolation"] for row in rows} == {subject.level} or subject.level == "?"
    assert {row["attempt"] for row in rows} == {0}


def test_containers_that_die_in_a_run_cost_no_verdict(subject: Subject, tmp_path: Path) -> None:
    """What was in flight is tried again: with others, and then alone."""
    corpus, wanted = _corpus(tmp_path, 48, 0.15)
    process = _start(subject, corpus, tmp_path / "run", rounds=1, workers=1)
    try:
        killed = _kill_agents(subject, process, tmp_path / "run", 2)
    finally:
        _ended(process)
    rows = _rows(tmp_path / "run")
    assert {row["task_id"]: row["verdict"] for row in rows} == wanted
    assert len(rows) == len(wanted)
    assert killed == 2
    assert sum(row["attempt"] > 0 for row in rows) >= 2, "nothing was in flight"


def _kill_agents(subject: Subject, process: subprocess.Popen[str], out: Path, count: int) -> int:
    """Kill so many agents of a run, one after the other, each when it works."""
    killed: list[int] = []
    done = 0
    deadline = time.monotonic() + 120
    while len(killed) < count and process.poll() is None:
        assert time.monotonic() < deadline, "the run makes no progress"
        time.sleep(0.02)
        beat = _heartbeat(out)
        if beat["done"] <= done or not beat["in_flight"]:
            continue
        done = beat["done"]
        for pid in set(_agents_of(subject, process.pid)) - set(killed):
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                process.send_signal(signal.SIGINT)
                pytest.skip("this user can't signal the agent")
            killed.append(pid)
    return len(killed)


def _heartbeat(out: Path) -> dict[str, Any]:
    try:
        beat: dict[str, Any] = json.loads(RunDir(out).heartbeat(0, 0).read_bytes())
    except OSError:
        return {"done": 0, "in_flight": 0}
    return beat


def _agents_of(subject: Subject, coordinator: int) -> list[int]:
    """The agents that work for this run: below it, or of a container that is named below it."""
    lines = {pid: command_line(pid) for pid in descendants(coordinator)}
    agents = {str(AGENT), AGENT_IN_CONTAINER}
    below = [
        pid for pid, words in lines.items() if words[1:3] == ["-I", "-B"] and agents & {*words}
    ]
    names = {name for words in lines.values() for name in _container_names(words)}
    return below or [pid for name in names if (pid := subject.pid_of(name))]


def _container_names(words: list[str]) -> list[str]:
    return [name for option, name in pairwise(words) if option == "--name"]
