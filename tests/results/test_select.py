"""One candidate for each task by what its candidates agree on."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from results.made_runs import MadeCandidate, make_run
from typer.testing import CliRunner

from hpc_runner.cli import app
from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError
from hpc_runner.model import Candidate
from hpc_runner.pipeline.behaviours import select_by_inputs
from hpc_runner.results.select import select
from hpc_runner.results.store import CandidateWriter
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info, write_info


def printing(task: str, text: str, samples: int = 1, verdict: str = "accepted") -> MadeCandidate:
    digest = text.encode().ljust(32, b".")
    return MadeCandidate(task, [verdict] * 2, samples, {"stdout_sha256": digest, "tests": []})


def passing(task: str, outcomes: str, samples: int = 1) -> MadeCandidate:
    """``outcomes``: + or - for each test."""
    tests = [
        {
            "name": f"test {n}",
            "outcome": "accepted" if sign == "+" else "wrong_answer",
            "wall_s": 0.1,
            "message": "",
        }
        for n, sign in enumerate(outcomes)
    ]
    verdict = "wrong_answer" if "-" in outcomes else "accepted"
    return MadeCandidate(task, [verdict] * 2, samples, {"tests": tests})


def every_test(run: RunDir) -> RunDir:
    info = read_info(run)
    config = info.config.model_copy(update={"every_test": True})
    write_info(run, info.model_copy(update={"config": config}))
    return run


def test_the_largest_group_that_does_the_same_is_taken(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        [
            printing("A", "wrong"),
            printing("A", "right"),
            printing("A", "right", samples=2),
            printing("B", "crash", samples=5, verdict="runtime_error"),
            printing("B", "answer"),
            printing("C", "crash", verdict="time_limit"),
            printing("D", "one"),
            printing("D", "other"),
        ],
    )
    a, b, c, d = select(run).tasks
    assert (a.sample, a.supporters, a.groups, a.samples) == (1, 3, 2, 4)
    assert (b.sample, b.supporters, b.groups) == (5, 1, 1)
    assert (c.candidate_id, c.supporters, c.right) == (None, 0, None)
    assert (d.sample, d.groups) == (0, 2), "a tie goes to the first sample"


def test_candidates_and_tests_vouch_for_each_other(tmp_path: Path) -> None:
    run = every_test(
        make_run(
            tmp_path,
            [
                # The last test is wrong: only a wrong program passes it.
                passing("A", "+++-"),
                passing("A", "+--+", samples=2),
                passing("A", "+++-", samples=2),
                passing("B", "----", samples=3),
            ],
        )
    )
    a, b = select(run, "agreement").tasks
    assert (a.sample, a.supporters, a.tests_passed) == (0, 3, 3)
    assert b.candidate_id is None, "nothing vouches for it"


def test_a_truth_says_how_good_the_choice_is(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        [
            printing("A", "right", samples=2),
            printing("A", "wrong", verdict="wrong_answer"),
            printing("B", "wrong", verdict="wrong_answer", samples=3),
            printing("B", "right"),
        ],
    )
    vote(run, 0, 0.8)
    found = select(run, truth=run)
    assert [item.right for item in found.tasks] == [True, False]
    assert (found.pass_at_1, found.best_pass_at_1) == (0.5, 1.0)
    assert found.chance_pass_at_1 == pytest.approx((2 / 3 + 1 / 4) / 2)
    done = CliRunner().invoke(app, ["select", str(run.root), "--truth", str(run.root)])
    assert done.exit_code == 0, done.output
    assert "A: sample 0" in done.stdout and "pass@1 of the selection 0.5000" in done.stdout


def test_mistakes_are_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, [printing("A", "x")])
    with pytest.raises(ConfigError, match="--every-test"):
        select(run, "agreement")
    with pytest.raises(ConfigError, match="behaviour, agreement"):
        select(run, "luck")


# ------------------------------------------------------------------ HumanEval, executed


def humaneval(path: Path, count: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [row for row in rows if asserts(row)][:count]


def asserts(row: dict[str, Any]) -> list[str]:
    """The asserts of HumanEval's check that say ``candidate(...) == value`` in one line."""
    lines = [line.strip() for line in row["test"].splitlines()]
    name = row["entry_point"]
    return [
        line.replace("candidate(", f"{name}(")
        for line in lines
        if re.fullmatch(rf"assert ({name}|candidate)\(.*\) == [^#,]*", line)
    ][:6]


def test_agreement_finds_the_right_programs_of_humaneval(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Two right programs and a wrong one for each task; of the tests one is wrong."""
    from hpc_runner.pipeline.coordinator import run_to_end
    from hpc_runner.pipeline.local_scheduler import LocalScheduler
    from hpc_runner.pipeline.plan import plan

    rows = humaneval(shared_data("humanevalpack_python.jsonl.gz"), 12)
    lines = []
    for row in rows:
        cases = [*asserts(row), f"assert {row['entry_point']} is None"]
        head = row["declaration"]
        for body in ("buggy_solution", "canonical_solution", "canonical_solution"):
            code = f"{head}{row[body]}\n# {len(lines)}\n"
            tests = {"kind": "assertions", "cases": cases}
            lines.append({"task_id": row["task_id"], "code": code, "tests": tests})
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
    run = RunDir(tmp_path / "run")
    plan(run, RunConfig.parse({**values, "every_test": True, "rounds": 1}), progress=lambda _: None)
    run_to_end(run, LocalScheduler(1), on_change=lambda _: None, say=lambda _: None)
    for method in ("agreement", "behaviour"):
        found = [item for item in select(run, method).tasks if item.candidate_id]
        # Where none of the few asserts sees the mistake, all three are alike.
        told = [item.sample for item in found if item.supporters < 3]
        assert len(told) >= len(rows) / 2
        assert set(told) == {1}, method


def test_inputs_tell_apart_what_the_examples_do_not(tmp_path: Path) -> None:
    from hpc_runner.pipeline.coordinator import run_to_end
    from hpc_runner.pipeline.local_scheduler import LocalScheduler
    from hpc_runner.pipeline.plan import plan

    tests = {"kind": "assertions", "cases": ["assert largest([1, 2]) == 2"]}
    codes = [
        "def largest(x):\n    return x[-1]",
        "def largest(x):\n    return max(x)",
        "def largest(x):\n    return sorted(x)[-1]",
        "def largest(x):\n    return 2",
        "def largest(x):\n    raise SystemExit",
    ]
    printing = {"task_id": "B", "code": "print(1)", "tests": {"kind": "none"}}
    lines = [*({"task_id": "A", "code": code, "tests": tests} for code in codes), printing]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
    run = RunDir(tmp_path / "run")
    plan(run, RunConfig.parse({**values, "rounds": 1}), progress=lambda _: None)
    run_to_end(run, LocalScheduler(1), on_change=lambda _: None, say=lambda _: None)
    assert select(run).tasks[0].supporters == 4, "the one example tells nothing"
    found = select_by_inputs(run, 16, 0, None, workers=1, progress=lambda _: None)
    a, b = found.tasks
    assert (a.sample, a.supporters, a.samples, a.groups) == (1, 2, 5, 3)
    assert a.candidate_id is not None and (b.sample, b.supporters) == (0, 1)
    [first] = [row for row in pq.read_table(run.samples).to_pylist() if row["row"] == 1]
    assert a.candidate_id == first["candidate_id"].hex(), "the run's own candidate"
    again = CliRunner().invoke(
        app, ["select", str(run.root), "--method", "inputs", "--inputs", "16", "--json"]
    )
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads(found.model_dump_json())


def test_without_a_function_there_are_no_inputs(tmp_path: Path) -> None:
    run = make_run(tmp_path, [printing("A", "x")])
    run.candidates(0).unlink()
    [row] = pq.read_table(run.samples).to_pylist()
    with CandidateWriter(run.candidates(0)) as writer:
        writer.write_shard([(row["candidate_id"], 0, Candidate(task_id="A", code="print(1)"))])
    with pytest.raises(ConfigError, match="nothing to make inputs of"):
        select_by_inputs(run, 8, 0, None, workers=1, progress=lambda _: None)
