"""Whatever a coordinator dies of, no answer that it had received is paid for again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.summary import Summary
from hpc_runner.rundir import RunDir

CANDIDATES, CONCURRENCY = 12, 3


def planned(where: Path) -> RunDir:
    corpus = where / "corpus.jsonl"
    rows = [
        {"task_id": f"t/{n}", "language": "ruby", "code": f"wrong_answer {n}"}
        for n in range(CANDIDATES)
    ]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "corpus": (str(corpus),),
        "runtime": "local",
        "require_isolation": "limits",
        "shard_size": 4,
        "rounds": 1,
        "refine": {"mode": "failing", "concurrency": CONCURRENCY},
    }
    run = RunDir(where / "run")
    plan(run, RunConfig.parse(values), progress=lambda _: None)
    return run


def coordinator(run: RunDir, paid: Path) -> subprocess.Popen[str]:
    program = Path(__file__).with_name("asker.py")
    return subprocess.Popen(
        [sys.executable, str(program), str(run.root), str(paid)],
        env={**os.environ, "STANDIN_DELAY_S": "0.02"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def keys(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def received(run: RunDir) -> list[str]:
    if not run.answers.exists():
        return []
    lines = run.answers.read_bytes().split(b"\n")[:-1]
    return [json.loads(line)["key"] for line in lines]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_points(tmp_path: Path, number: int) -> None:
    run, paid = planned(tmp_path), tmp_path / "paid"
    draw = random.Random(number)
    kills, times = 0, 10 if number == signal.SIGKILL else 2
    for _ in range(times):
        process = coordinator(run, paid)
        wanted = len(keys(paid)) + draw.randint(0, 5)
        before = received(run)
        already = len(keys(paid))
        while process.poll() is None and len(keys(paid)) < wanted:
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL) if number == signal.SIGKILL else (
                process.send_signal(number)
            )
            kills += 1
        process.communicate()
        assert not set(keys(paid)[already:]) & set(before), "paid for what it had received"
        assert len(received(run)) == len(set(received(run)))
    process = coordinator(run, paid)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    summary = Summary.model_validate_json(run.summary.read_bytes())
    assert kills >= times // 3
    assert summary.accepted_after_refinement == CANDIDATES
    assert len(set(received(run))) == len(received(run)) == 2 * CANDIDATES
    lost = len(keys(paid)) - len(received(run))
    assert lost <= kills * CONCURRENCY, "more was lost than what was under way"
    assert summary.refinement is not None
    assert summary.refinement.usd == 0.5 * 2 * CANDIDATES
    assert pq.read_table(run.candidates(2)).num_rows == CANDIDATES


def test_what_has_failed_is_asked_about_while_others_run(tmp_path: Path) -> None:
    run, paid = planned(tmp_path), tmp_path / "paid"
    process = coordinator(run, paid)
    while not keys(paid):
        assert process.poll() is None
        time.sleep(0.005)
    early = len(run.finished_shards(0))
    process.communicate()
    assert early < 3, "the first question was asked before the last shard had finished"
    assert len(keys(paid)) == len(set(keys(paid))) == 2 * CANDIDATES
