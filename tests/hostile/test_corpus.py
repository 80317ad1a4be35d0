"""The attacks as a corpus, through the command line, with honest candidates between them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import attack_files
import make_corpus
import pyarrow.dataset as ds
import pytest

ROUNDS = 3
SLOWER = 1.5
"""Of the median CPU time of an honest candidate beside attacks, against without them: room
for a busy machine.  benchmarks/hostile_neighbours.py measures against 1.1."""


def test_the_corpus_is_what_the_attack_files_make() -> None:
    assert make_corpus.CORPUS.read_text(encoding="ascii") == make_corpus.text(), (
        "run: python tests/hostile/make_corpus.py"
    )


def test_every_attack_says_what_it_attacks() -> None:
    attacks = attack_files.attacks()
    assert len(attacks) >= 80
    assert {attack.property for attack in attacks} == set(attack_files.PROPERTIES)
    for attack in attacks:
        assert attack.expect, attack.name
        assert bool(attack.not_claimed) == bool(attack.why), attack.name
        assert "internal_error" not in attack.expect, attack.name


def run(corpus: Path, out: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "hpc_runner", "run", str(corpus), "--out", str(out)]
    command += ["--rounds", str(ROUNDS), "--runtime", "local"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    files = sorted(map(str, (out / "waves" / "000" / "results").rglob("*.parquet")))
    rows: list[dict[str, Any]] = ds.dataset(files).to_table().to_pylist()
    return rows


@pytest.fixture(scope="module")
def executions(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(make_corpus.CORPUS, tmp_path_factory.mktemp("hostile") / "run")


def test_every_verdict_is_as_stated(executions: list[dict[str, Any]]) -> None:
    stated = {row["task_id"]: row for row in make_corpus.rows()}
    wrong = []
    for row in executions:
        known = stated[row["task_id"]]["metadata"]
        if row["verdict"] in known["expect"]:
            continue
        if {row["judge"], row["isolation"]} & set(known["not_claimed"]):
            continue
        wrong.append((row["task_id"], row["verdict"], row["judge"], row["error_message"]))
    assert wrong == []
    assert {row["task_id"] for row in executions} == set(stated)


def test_honest_candidates_are_accepted_and_not_slowed(
    executions: list[dict[str, Any]], tmp_path: Path
) -> None:
    beside = [row for row in executions if row["task_id"].startswith("honest/")]
    assert {row["verdict"] for row in beside} == {"accepted"}
    corpus = tmp_path / "honest.jsonl"
    rows = [row for row in make_corpus.rows() if row["task_id"].startswith("honest/")]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    alone = run(corpus, tmp_path / "run")
    assert len(alone) == len(beside)

    def median(found: list[dict[str, Any]]) -> float:
        return float(statistics.median(row["cpu_s"] for row in found))

    assert median(beside) <= SLOWER * median(alone) + 0.002
