"""The code running tool: what its documentation shows, and what a user can do wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documented import Blocks, read_blocks, run_block

import hpc_runner
from hpc_runner import CodeRunningTool, ExecutionContext, ResultCache, create_code_running_tool
from hpc_runner.api.types import ToolConfig, memory_bytes
from hpc_runner.errors import ConfigError, DependencyError

HERE: dict[str, Any] = {"runtime": "local", "require_isolation": "limits"}


@pytest.fixture(scope="module")
def tool() -> Iterator[CodeRunningTool]:
    with create_code_running_tool(HERE) as made:
        yield made


# ------------------------------------------------------------------------ one program


def test_an_accepted_program(tool: CodeRunningTool) -> None:
    result = tool.validate_and_execute_code_sync("print(2 * 60)", expected_output="120")
    assert result["overall_success"] is True is result.overall_success
    final = result["final_validation"]
    assert final["output"] == "120" == final.output
    assert final.execution_result.stdout == "120\n"
    assert final.statistics["judged"] == 3 and final.validation_score == 1.0
    assert final.confidence_level == pytest.approx(0.9375)
    assert dict(result)["final_validation"] is final and "code" in result
    with pytest.raises(KeyError):
        result["final"]


def test_a_program_that_fails_says_why(tool: CodeRunningTool) -> None:
    result = tool.validate_and_execute_code_sync("print(1)\nprint(1 / 0)")
    assert not result.overall_success
    final = result.final_validation
    assert final.output == "1" and final.errors[0] == "ZeroDivisionError: division by zero"
    assert final.execution_result.verdict == "runtime_error" and final.recommendations
    wrong = tool.validate_and_execute_code_sync("print(121)", expected_output="120")
    assert wrong.final_validation.statistics["verdict"] == "wrong_answer"
    assert wrong.final_validation.expected_output == "120"


def test_it_is_judged_by_tests_as_in_a_corpus(tool: CodeRunningTool) -> None:
    tests = {"kind": "calls", "entry_point": "f", "cases": [{"args": [n], "expected": n}
                                                           for n in (1, 2, -1)]}  # fmt: skip
    result = tool.validate_and_execute_code_sync("def f(x): return abs(x)", tests=tests)
    assert not result.overall_success
    assert "test 2: wrong_answer" in result.final_validation.errors[1]
    assert 0 < result.final_validation.validation_score < 1


def test_what_depends_on_something_is_no_success(tool: CodeRunningTool) -> None:
    code = "import time\nprint(time.tzname[0])"
    once = tool.validate_and_execute_code_sync(
        code, expected_output="UTC", enable_cross_validation=False
    )
    assert once.overall_success and once.final_validation.statistics["judged"] == 1
    voted = tool.validate_and_execute_code_sync(code, expected_output="UTC")
    assert not voted.overall_success
    assert voted.final_validation.recommendations[-1].startswith("its executions disagree")


def test_the_limits_are_those_that_were_asked_for(tool: CodeRunningTool) -> None:
    spins = tool.validate_and_execute_code_sync(
        "while True: pass", timeout=0.3, enable_cross_validation=False
    )
    assert spins.final_validation.statistics["verdict"] == "time_limit"
    hungry = tool.validate_and_execute_code_sync(
        "x = bytearray(200 << 20)",
        resource_limits={"memory": "64m"},
        enable_cross_validation=False,
    )
    assert hungry.final_validation.statistics["verdict"] == "memory_limit"


def test_a_program_that_is_indented_as_a_whole_is_not_refused(tool: CodeRunningTool) -> None:
    result = tool.validate_and_execute_code_sync('\n    x = """a\n    b"""\n    print(x)\n    ')
    assert result.overall_success
    broken = tool.validate_and_execute_code_sync("    print(1)\n  print(2)")
    assert broken.final_validation.statistics["verdict"] == "compile_error"
    assert broken.code == "    print(1)\n  print(2)"


def test_beside_a_running_loop_and_many_at_once(tool: CodeRunningTool) -> None:
    async def many() -> list[str]:
        waited = tool.validate_and_execute_code_sync("print('sync')")
        calls = [tool.validate_and_execute_code(f"print({n})") for n in range(12)]
        return [waited.final_validation.output] + [
            result.final_validation.output for result in await asyncio.gather(*calls)
        ]

    assert asyncio.run(many()) == ["sync", *map(str, range(12))]


# ------------------------------------------------------------------------- what it remembers


def test_a_result_is_remembered_until_anything_matters(tool: CodeRunningTool) -> None:
    def once(**options: Any) -> Any:
        return tool.validate_and_execute_code_sync("print('remember')", **options)

    first, again = once(), once()
    assert not first.cached and again.cached
    assert again.final_validation is first.final_validation
    assert again.execution_id != first.execution_id
    others: tuple[dict[str, Any], ...] = (
        {"timeout": 29}, {"expected_output": "remember"}, {"metadata": {"task_id": "t"}},
        {"enable_cross_validation": False}, {"environment_vars": {"LANG": "C"}},
    )  # fmt: skip
    for other in others:
        assert once(**other).cached == ("metadata" in other), other


def test_the_cache_forgets_what_is_old_and_what_is_too_much() -> None:
    cache = ResultCache(ttl=0.05, size=2)
    results: list[Any] = [object() for _ in range(3)]
    for key, result in enumerate(results[:2]):
        cache.put(key, result)
    assert cache.get(0) is results[0]
    cache.put(2, results[2])
    assert cache.get(1) is None and cache.get(0) is results[0]
    time.sleep(0.06)
    assert cache.get(0) is None
    found = cache.statistics
    assert (found.hits, found.misses, found.evictions, found.expired) == (2, 2, 1, 1)
    assert found.hit_rate == 0.5 and ResultCache().statistics.hit_rate is None


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"validation_round": 3}, "validation_round: Extra inputs"),
        ({"max_concurrent_executions": 0}, "max_concurrent_executions"),
        ({"consensus_threshold": 0.4}, "consensus_threshold"),
        ({"runtime": "wsl"}, "'wsl' is not known"),
        ({"policy": {"mode": "loud"}}, "mode"),
    ],
)
def test_options_that_there_are_not(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told), create_code_running_tool(options) as tool:
        tool.validate_and_execute_code_sync("pass")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"language": "klingon"}, "'klingon' is not known"),
        ({"language": "ruby"}, "no toolchain for ruby"),
        ({"timeout": -1}, "wall_s"),
        ({"resource_limits": {"memory": "much"}}, "256m or 1g .*'much'"),
        ({"resource_limits": {"cpu": "none"}}, "such as 0.5"),
        ({"resource_limits": {"gpu": "1"}}, r"memory and cpu \(found gpu\)"),
        ({"tests": {"kind": "calls"}}, "calls.entry_point"),
        ({"tests": {"kind": "none"}, "expected_output": "1"}, "give one of them"),
        ({"validation_criteria": {"checker": "exact"}}, "checker need an expected_output"),
        ({"validation_criteria": {"checks": 1}, "expected_output": "1"}, "checks"),
    ],
)
def test_calls_that_make_no_sense(tool: CodeRunningTool, options: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tool.validate_and_execute_code_sync("pass", **options)


def test_what_can_not_be_judged_is_an_exception(tmp_path: Path) -> None:
    with (
        create_code_running_tool(HERE, wheelhouse=str(tmp_path)) as tool,
        pytest.raises(DependencyError, match="could not be judged"),
    ):
        tool.validate_and_execute_code_sync("import nothing_such", dependencies=["nothing-such"])


def test_sizes_as_docker_writes_them() -> None:
    assert [memory_bytes(text) for text in ("256m", "1g", "64MiB", 1024, "2.5k", "1GB")] == [
        256 << 20, 1 << 30, 64 << 20, 1024, 2560, 1 << 30,
    ]  # fmt: skip


# ------------------------------------------------------- as the document has it, literally


@pytest.fixture(scope="module")
def blocks(checkout: Path) -> Blocks:
    return read_blocks(checkout)


def test_data_structures_are_the_documents(blocks: Blocks) -> None:
    import dataclasses
    from dataclasses import dataclass, field
    from enum import Enum
    from typing import Any as AnyType
    from typing import Optional

    given = {
        "dataclass": dataclass, "field": field, "Enum": Enum, "Dict": dict, "List": list,
        "Optional": Optional, "Any": AnyType, "ExecutionResult": hpc_runner.ExecutionResult,
    }  # fmt: skip
    for name in ("ExecutionContext", "ValidationResult"):
        theirs = run_block(blocks(f"class {name}:"), **given)[name]
        ours = {item.name: item for item in dataclasses.fields(getattr(hpc_runner, name))}
        for item in dataclasses.fields(theirs):
            assert ours[item.name].default == item.default, item.name
            if item.default_factory is not dataclasses.MISSING:
                factory = ours[item.name].default_factory
                assert factory is not dataclasses.MISSING
                assert factory() == item.default_factory()
        first = [item.name for item in dataclasses.fields(theirs)]
        assert list(ours)[: len(first)] == first  # the same by position
    text = blocks("class RefinementStrategy")
    strategies = run_block(text, **given)["RefinementStrategy"]
    ours_too = {item.name: item.value for item in hpc_runner.RefinementStrategy}
    assert ours_too == {item.name: item.value for item in strategies}


def test_the_advanced_configuration(blocks: Blocks) -> None:
    made = run_block(
        blocks("# Create with custom configuration"),
        create_code_running_tool=create_code_running_tool,
    )["code_runner"]
    config = made.config
    assert (config.max_concurrent_executions, config.validation_rounds) == (3, 5)
    assert (config.consensus_threshold, config.max_refinement_iterations) == (0.8, 3)
    assert config.cache_ttl == 7200


def test_the_defaults_are_the_documents() -> None:
    config = ToolConfig()
    assert (config.memory, config.cpu, config.timeout) == ("256m", "0.5", 30)
    assert (config.max_concurrent_executions, config.consensus_threshold) == (5, 0.8)


def test_a_context_goes_to_a_dictionary_and_back() -> None:
    context = ExecutionContext("1", "print(1)", metadata={"task_id": "t"})
    assert ExecutionContext.from_dict(context.to_dict()) == context
    candidate = context.candidate()
    assert candidate.task_id == "t" and candidate.limits.memory_bytes == 256 << 20
    assert (candidate.limits.wall_s, candidate.limits.cpu_s) == (30, 15)
