"""Candidates and agents that fail: the rest of the shard is judged as if they had not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from test_worker import BAD, GOOD, TESTS, planned, results, verdicts

from hpc_runner.errors import RuntimeFailure
from hpc_runner.model import Candidate
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, read_info
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.spec import AGENT
from hpc_runner.sandbox.starter import StartAgent
from hpc_runner.sandbox.worker import AGENT_DEATHS, Worker

KILLER = "# kills its agent\n" + GOOD

FRAGILE = """
import subprocess, sys
agent = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
for line in sys.stdin:
    if "# kills its agent" in line:
        agent.kill()
        sys.exit("the node is on fire")
    agent.stdin.write(line.encode())
    agent.stdin.flush()
agent.stdin.close()
sys.exit(agent.wait())
"""


class Agents:
    """Starts real agents, behind a program that dies when it is given a killer."""

    def __init__(self, where: Path) -> None:
        self._program = where / "fragile.py"
        self._program.write_text(FRAGILE)
        self.slots: list[int] = []
        self.environments: list[str] = []

    def __call__(
        self, environment: EnvironmentInfo, slots: int, candidates: Sequence[Candidate]
    ) -> Agent:
        self.slots.append(slots)
        self.environments.append(environment.name)
        assert candidates
        assert environment.interpreter
        argv = [environment.interpreter, "-I", "-B", str(AGENT), "--slots", str(slots)]
        return Agent([sys.executable, str(self._program), *argv], LocalRuntime().environment())


def work(run: RunDir, agents: StartAgent, **options: Any) -> bool:
    options.setdefault("per_execution", False)
    return Worker(run, read_info(run), 0, 0, start_agent=agents, **options).run()


def test_a_candidate_that_always_kills_its_agent_is_unjudged_and_alone(tmp_path: Path) -> None:
    codes = [GOOD + "# 0", KILLER, BAD, *(f"{GOOD}# {n}" for n in range(3, 9))]
    run = planned(tmp_path, codes, rounds=1, infrastructure_retries=3)
    agents = Agents(tmp_path)
    assert work(run, agents)
    found = verdicts(run)
    assert found.pop("t/1") == ["internal_error"]
    assert found.pop("t/2") == ["wrong_answer"]
    assert list(found.values()) == [["accepted"]] * 7
    [row] = [row for row in results(run) if row["task_id"] == "t/1"]
    assert row["attempt"] == 3
    assert row["error_type"] == "RuntimeFailure"
    assert "the node is on fire" in row["error_message"]
    assert len(agents.slots) == 4 + 1 or len(agents.slots) == 4


def test_it_does_not_harm_those_that_run_beside_it(tmp_path: Path) -> None:
    codes = [*(f"{GOOD}# {n}" for n in range(6)), KILLER, *(f"{GOOD}# {n}" for n in range(7, 12))]
    run = planned(tmp_path, codes, rounds=1, slots=3)
    assert work(run, Agents(tmp_path))
    found = verdicts(run)
    assert found.pop("t/6") == ["internal_error"]
    assert list(found.values()) == [["accepted"]] * 11


def test_without_retries_it_is_tried_once(tmp_path: Path) -> None:
    run = planned(tmp_path, [KILLER], rounds=1, infrastructure_retries=0)
    agents = Agents(tmp_path)
    assert work(run, agents)
    assert verdicts(run) == {"t/0": ["internal_error"]}
    assert agents.slots == [1]


def test_a_runtime_that_never_works_is_given_up(tmp_path: Path) -> None:
    run = planned(tmp_path, [f"{GOOD}# {n}" for n in range(20)], rounds=1)
    calls: list[int] = []

    def broken(environment: EnvironmentInfo, slots: int, candidates: Sequence[Candidate]) -> Agent:
        calls.append(slots)
        raise RuntimeFailure("no such image")

    worker = Worker(run, read_info(run), 0, 0, start_agent=broken, per_execution=False)
    with pytest.raises(RuntimeFailure):
        worker.run()
    assert len(calls) == AGENT_DEATHS
    assert not run.result(0, 0).exists()
    assert work(run, Agents(tmp_path))
    assert Counter(row["verdict"] for row in results(run)) == {"accepted": 20}


def test_a_container_per_execution(tmp_path: Path) -> None:
    run = planned(tmp_path, [GOOD, BAD, GOOD + "#"], rounds=2, slots=2, early_stop=False)
    agents = Agents(tmp_path)
    assert work(run, agents, per_execution=True)
    assert agents.slots == [1] * 6
    assert verdicts(run) == {
        "t/0": ["accepted"] * 2,
        "t/1": ["wrong_answer"] * 2,
        "t/2": ["accepted"] * 2,
    }


def test_a_container_per_execution_and_a_killer(tmp_path: Path) -> None:
    run = planned(tmp_path, [GOOD, KILLER, BAD], rounds=1, slots=2)
    assert work(run, Agents(tmp_path), per_execution=True)
    assert verdicts(run) == {
        "t/0": ["accepted"],
        "t/1": ["internal_error"],
        "t/2": ["wrong_answer"],
    }


def test_what_is_known_to_need_one_process_is_told_to_the_agent(tmp_path: Path) -> None:
    tests = {"kind": "assertions", "code": "", "cases": ["assert C().x == 1"]}
    run = planned(tmp_path, ["class C: x = 1\n"], tests, rounds=3, early_stop=False)
    assert work(run, Agents(tmp_path))
    rows = sorted(results(run), key=lambda row: row["round"])
    assert [row["verdict"] for row in rows] == ["accepted"] * 3
    assert [row["judge"] for row in rows] == ["inline"] * 3
    assert rows[0]["judge_reason"]


def test_stopping_before_anything_ran_leaves_nothing_half_done(tmp_path: Path) -> None:
    run = planned(tmp_path, [GOOD], TESTS)
    worker = Worker(run, read_info(run), 0, 0, start_agent=Agents(tmp_path), per_execution=False)
    worker.stop()
    assert not worker.run()
    assert not run.result(0, 0).exists()
    assert work(run, Agents(tmp_path))


def test_killers_at_the_end_of_a_shard_do_not_fail_it(tmp_path: Path) -> None:
    run = planned(tmp_path, [GOOD, KILLER, KILLER + "#"], rounds=3)
    assert work(run, Agents(tmp_path))
    found = verdicts(run)
    assert set(found["t/0"]) == {"accepted"}
    assert set(found["t/1"]) == set(found["t/2"]) == {"internal_error"}
