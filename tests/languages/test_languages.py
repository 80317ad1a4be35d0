"""Every language is judged as strictly as Python is: each outcome, in each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from language_programs import PROGRAMS, Programs

from hpc_runner.executions import Execution
from hpc_runner.model import Assertions, Candidate, ExpectedOutput, Limits, Stdio, StdioCase
from hpc_runner.sandbox.toolchains import TOOLCHAINS
from hpc_runner.warm import WarmPool

DOUBLED = Stdio(cases=(StdioCase(stdin="21\n", stdout="42\n"), StdioCase(stdin="0", stdout="0")))
SHORT = Limits(wall_s=1.0)

Run = Callable[..., Execution]


def test_every_language_has_programs() -> None:
    assert PROGRAMS.keys() == TOOLCHAINS.keys()


@pytest.fixture(params=sorted(PROGRAMS))
def language(request: pytest.FixtureRequest, available: Callable[[str], None]) -> str:
    available(request.param)
    return str(request.param)


@pytest.fixture
def programs(language: str) -> Programs:
    return PROGRAMS[language]


@pytest.fixture
def run(pool: WarmPool, language: str) -> Run:
    def execute(code: str, **fields: Any) -> Execution:
        return pool.execute_sync(Candidate(task_id="T", code=code, language=language, **fields))

    return execute


def outcome(done: Execution) -> tuple[str, str | None]:
    return done.row["verdict"], done.row["error_type"]


def test_a_program_is_run_for_each_case(run: Run, programs: Programs) -> None:
    done = run(programs.echo, tests=DOUBLED)
    assert outcome(done) == ("accepted", None), done.row["stderr_tail"]
    assert done.row["tests_passed"] == 2
    assert done.row["judge"] == "output"


def test_what_a_program_prints_is_compared(run: Run, programs: Programs) -> None:
    wrong = StdioCase(stdin="1", stdout="3")
    assert outcome(run(programs.echo, tests=Stdio(cases=(wrong,)))) == ("wrong_answer", None)


def test_a_program_without_input(run: Run, programs: Programs) -> None:
    done = run(programs.failing, tests=ExpectedOutput(stdout="never"))
    assert outcome(done) == ("runtime_error", programs.failure)


def test_what_does_not_compile_is_not_run(run: Run, programs: Programs) -> None:
    done = run(programs.not_compiling, tests=DOUBLED)
    assert done.row["verdict"] == "compile_error"
    assert done.row["error_message"]
    assert [test["outcome"] for test in done.row["tests"]] == ["compile_error", "not_run"]
    assert done.row["wall_s"] == 0.0


def test_a_program_has_its_time(run: Run, programs: Programs) -> None:
    assert run(programs.endless, limits=SHORT).row["verdict"] == "time_limit"


def test_a_program_has_its_memory(run: Run, programs: Programs) -> None:
    limits = Limits(memory_bytes=128 << 20)
    assert run(programs.hungry, limits=limits).row["verdict"] == "memory_limit"


def test_tests_in_the_same_language(run: Run, programs: Programs) -> None:
    tests = Assertions(code=programs.tests, cases=("all",))
    done = run(programs.function, tests=tests)
    assert outcome(done) == ("accepted", None), done.row["stderr_tail"]
    assert done.row["judge"] == "inline"
    assert run(programs.wrong, tests=tests).row["verdict"] == "wrong_answer"


def test_to_leave_before_the_tests_do_is_not_to_pass(run: Run, programs: Programs) -> None:
    tests = Assertions(code=programs.tests, cases=("all",))
    assert outcome(run(programs.leaving, tests=tests)) == ("early_exit", "EarlyExit")
