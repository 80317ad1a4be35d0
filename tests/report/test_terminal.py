"""The summary as text: the whole of it, compared with a file.

``UPDATE_GOLDEN=1 pytest tests/report`` writes the file anew.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from results.made_runs import MadeCandidate, make_run
from rich.console import Console

from hpc_runner.report.terminal import render_summary
from hpc_runner.report.words import counted, duration, percent
from hpc_runner.results.summary import Summary, Suspicion, summarise
from hpc_runner.results.vote import vote

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    error = {"error_type": "KeyError", "error_message": "'x' in [bold]markup[/bold]"}
    candidates = [
        MadeCandidate("HumanEval/0", ["accepted"] * 3, samples=12),
        MadeCandidate("HumanEval/1", ["accepted", "wrong_answer", "accepted"], samples=3),
        MadeCandidate("HumanEval/1", ["runtime_error"] * 3, samples=7, columns=error),
        MadeCandidate("HumanEval/1", ["time_limit"] * 2),
        MadeCandidate("HumanEval/2", ["internal_error"] * 3, samples=10),
    ]
    rejected = [("corpus.jsonl", 7, "test", "expected a string, found null")]
    run = make_run(tmp_path, candidates, rejected=rejected)
    vote(run, 0, 0.8)
    return summarise(run)


def as_text(summary: Summary, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_summary(summary))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def test_the_summary_as_text(summary: Summary) -> None:
    paths = {name: f"/runs/made/{name}.parquet" for name in summary.paths}
    text = as_text(summary.model_copy(update={"paths": paths}))
    golden = GOLDEN / "summary.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_a_long_path_can_be_copied(summary: Summary) -> None:
    path = "/scratch/" + "directory/" * 15 + "votes.parquet"
    text = as_text(summary.model_copy(update={"paths": {"votes": path}}))
    assert path in text.replace("\n", "")


def test_a_run_that_is_not_complete_says_so(summary: Summary) -> None:
    assert "resume" in as_text(summary.model_copy(update={"complete": False}))


def test_a_run_of_nothing_can_be_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, [MadeCandidate("T/0", [])], finish=False)
    assert "0 executions" in as_text(summarise(run))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    shares = [percent(1, 10**6), percent(10**6 - 1, 10**6), percent(5, 5), percent(0, 0)]
    assert shares == ["0.1 %", "99.9 %", "100.0 %", "-"]


def test_plurals() -> None:
    assert [counted(n, "task") for n in (0, 1, 1200)] == ["0 tasks", "1 task", "1,200 tasks"]


def test_signs_of_tampering_have_a_section(summary: Summary) -> None:
    assert "Signs of tampering" not in as_text(summary)
    assert "environments agree" not in as_text(summary)
    sign = Suspicion(sign="replaced: builtins.abs", candidates=3, accepted=2, task_id="t/1")
    text = as_text(summary.model_copy(update={"suspicions": (sign,)}))
    (line,) = [line for line in text.splitlines() if "builtins.abs" in line]
    assert line.split() == ["3", "2", "replaced:", "builtins.abs", "t/1"]


def test_environments_have_a_table_where_there_are_several(tmp_path: Path) -> None:
    candidates = [
        MadeCandidate("T/0", ["accepted"] * 4),
        MadeCandidate("T/1", ["accepted", "wrong_answer"] * 2),
        MadeCandidate("T/2", ["accepted", "internal_error"] * 2),
    ]
    run = make_run(tmp_path, candidates, environments=["py311", "py313"])
    vote(run, 0, 0.8)
    text = as_text(summarise(run))
    lines = [line.split() for line in text.splitlines()]
    assert ["py311", "3.11.7", "6", "3", "3"] in lines
    assert ["py313", "3.11.7", "6", "2", "1"] in lines
    assert "The environments agree on 1 of 2 candidates that several judged (50.0 %)" in text
    assert "py311: 2 accepted; py313: 2 wrong_answer" in text


def test_judges_have_shares_where_there_are_several(summary: Summary) -> None:
    text = as_text(summary.model_copy(update={"judges": {"split": 3, "inline": 1}}))
    assert "judged split 75.0 %, inline 25.0 %" in text
