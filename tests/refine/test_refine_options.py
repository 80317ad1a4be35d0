"""Mistakes in what is asked of refinement, and a model that can't be had."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_refinement import answers, finish, lines, program, refined_run, rule

from hpc_runner.commands.refine_options import refine_values, refining
from hpc_runner.config import RefineConfig, RunConfig
from hpc_runner.errors import ConfigError, ModelUnavailable
from hpc_runner.refine.engine import check_refinement
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info
from hpc_runner.session import differences, show_plan


def test_what_is_not_given_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_RUNNER_PATTERNS", "off")
    assert refine_values(refining()) == {"mode": "none"}
    values = refine_values(refining(refine="failing", budget_usd=5.0, no_test_leak=True))
    config = RefineConfig(**values)
    assert (config.mode, config.budget_usd, config.hide_tests) == ("failing", 5.0, True)
    assert config.patterns is None
    monkeypatch.setenv("HPC_RUNNER_PATTERNS", "/some/where")
    assert refine_values(refining(refine="unsolved"))["patterns"] == "/some/where"
    assert "patterns" not in refine_values(refining(refine="unsolved", no_learning=True))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"refine": "everything"}, "--refine: none, failing or unsolved (found 'everything')"),
        ({"model": "scripted:x"}, "--model has no effect without --refine"),
        ({"budget_usd": 5.0}, "--budget-usd has no effect without --refine"),
        ({"max_refinement_iterations": 2}, "--max-refinement-iterations has no effect"),
        ({"no_learning": True}, "--no-learning has no effect"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        refine_values(refining(**given))


@pytest.mark.parametrize(
    ("key", "value"), [("max_iterations", 0), ("budget_usd", -1), ("concurrency", 0)]
)
def test_numbers_have_their_bounds(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"refine\.{key}"):
        RunConfig.parse({"corpus": ("x",), "refine": {"mode": "failing", key: value}})


def test_a_model_that_can_not_be_asked_stops_before_the_plan(tmp_path: Path) -> None:
    for name, words in (("gpt-9", "Sonnet"), (f"scripted:{tmp_path / 'no'}", "can't be read")):
        with pytest.raises(ConfigError, match=words):
            check_refinement(RefineConfig(mode="failing", model=name), print)
    check_refinement(RefineConfig(model="gpt-9"), print)


def test_a_run_goes_on_once_the_model_can_be_had(tmp_path: Path) -> None:
    corpus = [program(str(n), f"def f(x):\n    return x * {n}\n") for n in (3, 4, 5)]
    right = "def f(x):\n    return x + 1\n"
    broken = [rule("3", right), {"task_id": "4", "error": "unavailable", "message": "wrong key"}]
    run = refined_run(tmp_path, corpus, broken, concurrency=1)
    with pytest.raises(ModelUnavailable, match="wrong key"):
        finish(run)
    assert not run.summary.exists() and not run.candidates(1).exists()
    assert len(answers(run)) == 1
    lines(tmp_path / "rules.jsonl", [rule(str(n), right) for n in (4, 5)])
    assert finish(run).accepted_after_refinement == 3
    assert len(answers(run)) == 3, "the first one was not asked again"


def test_a_dry_run_foretells_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = refined_run(tmp_path, [program("3", "x = 1")], [rule("3", "y = 1")])
    config = read_info(run).config
    show_plan(RunDir(tmp_path / "other"), config)
    said = capsys.readouterr().out
    assert re.search(r"refinement +failing, scripted:.*: about [\d,]+ tokens and \$0\.0\d+", said)
    changed = config.model_copy(update={"refine": RefineConfig()})
    (told,) = differences(read_info(run), changed, read_info(run).corpus_digest)
    assert told.startswith("refine was")
