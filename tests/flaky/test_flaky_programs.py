"""Perturbed rounds find what programs depend on, and nothing in those that depend on nothing."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flaky_programs import CLASSES, EITHER_WAY, Program, programs, write_corpus
from sandbox.agents import Sandbox, interpreters, opened

from hpc_runner.corpus.readers import Sample, open_corpus
from hpc_runner.sandbox.perturbation import MASKS, ROWS, perturbation

ALL = {program.name: program for program in programs()}
ROUNDS = len(ROWS)
REPETITIONS = 50
SURE = 1e-9
"""The chance that a test of chance fails for nothing."""


@dataclass(frozen=True)
class Execution:
    verdict: str
    perturbation: Mapping[str, Any]
    waited: float
    """Share of its time in which it had no CPU."""


def caused(*causes: str) -> list[str]:
    return [program.name for program in ALL.values() if program.cause in causes]


def done(sandbox: Sandbox, asked: list[tuple[Program, Mapping[str, Any]]]) -> list[Execution]:
    answers = sandbox.run_all(program.request(perturbation=dict(made)) for program, made in asked)
    return [
        Execution(a["verdict"], a["perturbation"], a["waited_s"] / max(a["wall_s"], 1e-9))
        for a in answers
    ]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with opened(slots=2) as sandbox:
        if sandbox.level != "full" or len(os.sched_getaffinity(0)) < 2:
            pytest.skip(
                f"not everything can be perturbed here: {dict(sandbox.agent.hello.missing)}"
            )
        yield sandbox


@pytest.fixture(scope="module")
def rounds(sandbox: Sandbox) -> dict[str, list[Execution]]:
    """Program → its executions in one time through the design."""
    chosen = [p for p in ALL.values() if p.cause not in ("none", "python", "random", "load")]
    found: dict[str, list[Execution]] = defaultdict(list)
    for round_ in range(ROUNDS):
        made = perturbation(0, round_)
        executions = done(sandbox, [(program, made) for program in chosen])
        for program, execution in zip(chosen, executions, strict=True):
            found[program.name].append(execution)
    return found


# --------------------------------------------------------------------------- the data


def test_there_are_programs_of_every_class_and_cause() -> None:
    assert len(ALL) >= 60
    causes = {program.cause for program in ALL.values()}
    assert causes == {"none", "python", "random", *MASKS}
    assert {program.kind for program in ALL.values()} == {*CLASSES.values(), "flaky"}
    for program in ALL.values():
        assert program.cause == "none" or "flips to" in program.head, program.name


def test_they_are_a_corpus(tmp_path: Path) -> None:
    path = tmp_path / "flaky.jsonl"
    write_corpus(path)
    found = list(open_corpus([path]))
    assert len(found) == len(ALL)
    for sample, program in zip(found, ALL.values(), strict=True):
        assert isinstance(sample, Sample)
        assert sample.candidate.task_id == f"flaky/{program.name}"
        assert sample.candidate.code == program.code
        assert sample.candidate.env == program.env
    known = json.loads(path.read_text().splitlines()[0])["metadata"]
    assert set(known) == {"class", "cause"}


# ------------------------------------------------------------------------ what is stable


def test_stable_programs_never_change(sandbox: Sandbox) -> None:
    stable = [ALL[name] for name in caused("none")]
    found: dict[str, set[str]] = defaultdict(set)
    for round_ in range(REPETITIONS):
        made = perturbation(1, round_)
        for program, execution in zip(
            stable, done(sandbox, [(p, made) for p in stable]), strict=True
        ):
            found[program.name].add(execution.verdict)
    assert found == {program.name: program.verdicts() for program in stable}


# -------------------------------------------------------------------- what isn't, and why


@pytest.mark.parametrize("name", caused("tz", "locale", "temp", "cpus"))
def test_it_fails_whenever_its_cause_is_there(
    rounds: dict[str, list[Execution]], name: str
) -> None:
    program = ALL[name]
    for execution in rounds[name]:
        struck = program.cause in execution.perturbation
        assert execution.verdict == (program.head["flips to"] if struck else "accepted"), execution
    assert explanations(rounds[name]) == {program.cause}


@pytest.mark.parametrize("name", caused("env", *EITHER_WAY))
def test_it_may_change_when_its_cause_is_there(
    rounds: dict[str, list[Execution]], name: str
) -> None:
    program = ALL[name]
    assert {e.verdict for e in rounds[name]} == program.verdicts()
    if "also" not in program.head:
        assert program.cause in explanations(rounds[name])


def explanations(executions: list[Execution]) -> set[str]:
    """The dimensions without which it always was as in the first round."""
    first = executions[0].verdict
    other = [execution for execution in executions if execution.verdict != first]
    assert other
    return {d for d in MASKS if all(d in execution.perturbation for execution in other)}


@pytest.mark.parametrize("name", caused("threads"))
def test_races_show_when_threads_change_often(sandbox: Sandbox, name: str) -> None:
    often = [(ALL[name], {"threads": 100})] * 40
    assert ALL[name].head["flips to"] in {e.verdict for e in done(sandbox, often)}


@pytest.mark.parametrize("name", caused("random"))
def test_what_is_random_needs_no_perturbation(sandbox: Sandbox, name: str) -> None:
    program, chance = ALL[name], float(ALL[name].head["p"])
    seen: set[str] = set()
    left = 1.0
    while seen != program.verdicts():
        assert left > SURE, f"always {seen}"
        seen |= {e.verdict for e in done(sandbox, [(program, {})] * 20)}
        left *= max(chance, 1 - chance) ** 20


@pytest.mark.parametrize("name", caused("load"))
def test_a_deadline_is_missed_under_load(sandbox: Sandbox, name: str) -> None:
    program = ALL[name]
    quiet = done(sandbox, [(program, {})] * 8)
    if all(execution.waited > 0.1 for execution in quiet):
        pytest.skip("this machine is never idle enough")
    assert "accepted" in {e.verdict for e in quiet}
    loaded = done(sandbox, [(program, {"load": 1})] * 8)
    assert program.head["flips to"] in {e.verdict for e in loaded}


@pytest.mark.parametrize("version", interpreters())
def test_what_depends_on_the_environment_s_python(version: str) -> None:
    with opened(python=interpreters()[version]) as sandbox:
        asked = [(ALL[name], {}) for name in caused("python")]
        found = done(sandbox, asked)
        python = sandbox.agent.hello.python
    for (program, _), execution in zip(asked, found, strict=True):
        assert {execution.verdict} == program.verdicts(python), program.name
