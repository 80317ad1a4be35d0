"""The code running tool with a model that answers from a file, and with MCP servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from documented import Blocks, read_blocks, run_block

import hpc_runner
from hpc_runner import CodeRunningTool, RefinementStrategy, create_code_running_tool
from hpc_runner.errors import ConfigError
from hpc_runner.export.registry import Registry

HERE: dict[str, Any] = {"runtime": "local", "require_isolation": "limits", "validation_rounds": 1}
BUGGY = "def f(x):\n    return x - 1\n"
RIGHT = "def f(x):\n    return x + 1\n"
TESTS = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}
HANDLES_ERRORS = (
    "def divide_numbers(a, b):\n    try:\n        return a / b\n"
    "    except ZeroDivisionError:\n        return None\n\nprint(divide_numbers(10, 0))\n"
)
USAGE = {"prompt_tokens": 100, "cached_tokens": 10, "completion_tokens": 20, "usd": 0.5}


def answer(code: str, **rule: Any) -> dict[str, Any]:
    return {"answer": {"explanation": "", "code": code}, "usage": USAGE, **rule}


Make = Callable[..., CodeRunningTool]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A tool whose model answers by these rules."""
    made: list[CodeRunningTool] = []

    def tool(*rules: dict[str, Any], **options: Any) -> CodeRunningTool:
        script = tmp_path / f"rules{len(made)}.jsonl"
        script.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
        options = {"mcp_directory": str(tmp_path / "mcp"), **HERE, **options}
        made.append(create_code_running_tool({"model": f"scripted:{script}", **options}))
        return made[-1]

    yield tool
    for one in made:
        one.close()


def refined(tool: CodeRunningTool, code: str = BUGGY, **options: Any) -> Any:
    options = {"tests": TESTS, "enable_refinement": True, **options}
    return tool.validate_and_execute_code_sync(code, **options)


# ----------------------------------------------------------------------- refinement


def test_a_right_answer_ends_it(make: Make) -> None:
    result = refined(make(answer(RIGHT)))
    assert result.overall_success and result.code == RIGHT == result.refinement.refined_code
    assert not result.initial_validation.success and result.final_validation.success
    told = result.refinement
    assert (told.success, told.iterations, told.reason) == (True, 1, "accepted")
    assert told.strategies == ["logic_improvement"]
    assert told.usage == USAGE and told.model.startswith("scripted:")


def test_wrong_answers_are_refined_on_until_the_limit(make: Make) -> None:
    wrong = [answer(f"def f(x):\n    return {n}\n", attempt=n) for n in (1, 3, 4)]
    second = answer("def f(x):\n    return 22\n", attempt=2)
    result = refined(make(*wrong, second))
    assert not result.overall_success and result.code == BUGGY
    told = result.refinement
    assert (told.iterations, told.reason, told.success) == (3, "max_iterations", False)
    assert told.usage["prompt_tokens"] == 300 and told.usage["usd"] == 1.5
    assert told.strategies[1] == "comprehensive"


def test_it_ends_when_it_leads_nowhere(make: Make) -> None:
    assert refined(make(answer(BUGGY + "# again\n"))).refinement.reason == "same_code"
    swinging = make(answer("def f(x):\n    return 9\n", attempt=1), answer(BUGGY, attempt=2))
    assert refined(swinging).refinement.reason == "oscillation"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"error": "busy"}, "model_busy: "),
        ({"error": "question"}, "question_refused: "),
        ({"error": "unavailable"}, "model_unavailable: "),
        ({"answer": "I would rather not."}, "no_answer: no_code"),
        ({"answer": "x", "finish": "length"}, "no_answer: truncated"),
    ],
)
def test_trouble_with_the_model_is_a_reason(make: Make, rule: Any, reason: str) -> None:
    tool = make(rule)
    result = refined(tool)
    assert result.refinement.reason.startswith(reason) and not result.overall_success
    passing = reason.startswith(("model_busy", "model_unavailable"))
    assert refined(tool).cached is not passing


def test_what_needs_no_model_asks_none(make: Make) -> None:
    tool = make({"error": "unavailable"})
    result = refined(tool, "print(math.floor(2.5))", tests=None)
    assert result.overall_success and result.refinement.repairs == ["import math"]
    assert result.refinement.usage == {} and result.code.startswith("import math")


def test_without_being_asked_or_without_need_nothing_is_asked(make: Make) -> None:
    tool = make({"error": "unavailable"})
    assert refined(tool, RIGHT).refinement.reason == "accepted as it came"
    assert refined(tool, enable_refinement=False).refinement.reason == "not asked for"


def test_without_a_key_the_verdict_is_there_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    result = refined(make(answer("x"), model=None))
    assert result.refinement.reason.startswith("no_key: ")
    assert result.final_validation.statistics["verdict"] == "wrong_answer"


def test_a_model_that_is_no_claude_sonnet_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="gpt-4o"):
        refined(make(answer("x"), model="openai/gpt-4o"))


def test_the_engine_by_itself_with_a_strategy(make: Make) -> None:
    tool = make(answer(RIGHT, strategy="security_hardening"))

    async def both() -> Any:
        context = hpc_runner.ExecutionContext("1", BUGGY, validation_criteria={"tests": TESTS})
        vote = await tool.framework.judge(context.candidate())
        return await tool.refinement.refine(vote, strategy=RefinementStrategy.SECURITY_HARDENING)

    outcome, vote = asyncio.run(both())
    assert outcome.success and vote.accepted and vote.candidate.generation == 1


def test_many_refinements_on_several_loops(make: Make) -> None:
    tool = make(answer(RIGHT), max_concurrent_executions=2)

    async def some() -> list[bool]:
        codes = [f"def f(x):\n    return {n}\n" for n in range(3, 8)]
        calls = [
            tool.validate_and_execute_code(code, enable_refinement=True, tests=TESTS)
            for code in codes
        ]
        return [result.overall_success for result in await asyncio.gather(*calls)]

    assert asyncio.run(some()) == asyncio.run(some()) == [True] * 5


# ---------------------------------------------------------------------- MCP servers


def test_an_accepted_function_becomes_a_registered_server(make: Make, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    tool = make(answer(RIGHT), mcp_registry=str(registry))
    result = refined(tool, generate_mcp=True)
    assert result.mcp.success, result.mcp.reason
    assert (Path(result.mcp["directory"]) / "server.json").is_file()
    assert result.mcp.tool["provenance"]["generation"] == 1
    assert result.mcp.tool["provenance"]["refined_by"].startswith("scripted:")
    assert [one.name for one in Registry(registry).tools()] == [result.mcp.name]


def test_what_is_not_accepted_becomes_none(make: Make) -> None:
    result = refined(make(answer(RIGHT)), enable_refinement=False, generate_mcp=True)
    assert not result.mcp.success and "only accepted" in result.mcp.reason


# ------------------------------------------------------- as the document has it, literally


@pytest.fixture(scope="module")
def blocks(checkout: Path) -> Blocks:
    return read_blocks(checkout)


def test_basic_code_validation(
    blocks: Blocks, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    block = blocks("# Create code running tool")
    names = run_block(block, create_code_running_tool=lambda: make({"error": "unavailable"}))
    assert capsys.readouterr().out == "Success: True\nOutput: 120\n"
    assert names["result"]["mcp"]["success"], names["result"]["mcp"]


def test_iterative_refinement(
    blocks: Blocks, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = make(answer(HANDLES_ERRORS, strategy="error_handling", verdict="runtime_error"))
    names = run_block(blocks("# Code with intentional error"), code_runner=tool)
    assert capsys.readouterr().out == HANDLES_ERRORS + "\n"
    assert names["result"]["overall_success"]
    assert names["result"]["final_validation"]["output"] == "None"


def test_claude_4_sonnet_verification(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bash = read_blocks(checkout, "bash")("# Verify Claude 4 Sonnet configuration")
    program = bash.partition('python -c "')[2].rpartition('"')[0]
    package = types.ModuleType("alita_core")
    package.code_runner = hpc_runner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "alita_core", package)
    monkeypatch.setitem(sys.modules, "alita_core.code_runner", hpc_runner)
    run_block(program)
    assert "Model: anthropic/claude-4-sonnet\n" in capsys.readouterr().out


def test_no_model_is_loaded_before_a_question() -> None:
    code = (
        "import sys, hpc_runner; tool = hpc_runner.create_code_running_tool();"
        "print([name for name in ('litellm', 'mcp', 'openai', 'starlette') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
