"""The registry of tools: what comes in, what is found, what leaves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mcp_made import of_calls, sandbox, tool_of
from typer.testing import CliRunner

from hpc_runner.cli import app
from hpc_runner.errors import ConfigError, StorageError
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.export.mcp.wheel import own_wheel
from hpc_runner.export.registry import TOOLS, Registry, mcp_box, search
from hpc_runner.export.requests import Request, match, read_requests

PROGRAMS = {
    "add_numbers": "def add_numbers(a: int, b: int) -> int:\n  'Sum of two numbers.'\n  return 2",
    "reverse_text": "def reverse_text(a: str) -> str:\n  'Reverse the letters.'\n  return a[::-1]",
    "sort_values": "def sort_values(a: list[int]) -> list[int]:\n    'Sort.'\n    return sorted(a)",
}
CASES: dict[str, Any] = {
    "add_numbers": ([1, 1], 2),
    "reverse_text": (["ab"], "ba"),
    "sort_values": ([[2, 1]], [1, 2]),
}


@pytest.fixture(scope="module")
def tools() -> Iterator[list[Tool]]:
    with sandbox() as place:
        yield [
            tool_of(of_calls(code, name, CASES[name], task_id=f"T/{number}"), place)
            for number, (name, code) in enumerate(PROGRAMS.items())
        ]


@pytest.fixture
def registry(tmp_path: Path, tools: list[Tool]) -> Registry:
    made = Registry(tmp_path / "registry")
    made.add(tools, "all")
    return made


def cli(registry: Registry, *words: str) -> str:
    done = CliRunner().invoke(app, ["tools", *words, "--registry", str(registry.directory)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_tools_come_back_whole(registry: Registry, tools: list[Tool]) -> None:
    assert registry.tools() == tools
    file = pq.ParquetFile(registry.path)
    assert file.schema_arrow.equals(TOOLS)
    listed = json.loads((registry.directory / "tools.json").read_text())["tools"]
    assert [row["name"] for row in listed] == list(PROGRAMS)
    assert all("tool" not in row and "code" not in row for row in listed)


def test_the_same_candidate_is_replaced_and_another_gets_another_name(
    registry: Registry, tools: list[Tool]
) -> None:
    assert registry.add(tools[:1], "again") == ["add_numbers"]
    assert len(registry.tools()) == 3
    found = tools[0].provenance.model_copy(update={"candidate_id": "ab" * 32, "task_id": "U/9"})
    assert registry.add([tools[0].model_copy(update={"provenance": found})], "other") == [
        "add_numbers_u_9"
    ]
    assert len({tool.name for tool in registry.tools()}) == 4


def test_many_writers_lose_nothing(tmp_path: Path, tools: list[Tool]) -> None:
    registry = Registry(tmp_path / "r")

    def one(number: int) -> None:
        found = tools[0].provenance.model_copy(update={"candidate_id": f"{number:02x}" * 32})
        registry.add([tools[0].model_copy(update={"provenance": found})], "s")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tool.name for tool in registry.tools()}) == 8


def test_search_finds_by_what_tools_do(tools: list[Tool]) -> None:
    assert search(tools, "reverse letters")[0].tool.name == "reverse_text"
    assert [hit.tool.name for hit in search(tools, "number sum")] == ["add_numbers"]
    assert search(tools, "weather of tomorrow") == []
    assert search([], "anything") == []


def test_the_command_line_lists_shows_finds_and_removes(registry: Registry) -> None:
    assert set(PROGRAMS) <= set(cli(registry, "list").split())
    assert cli(registry, "list", "--category", "text").split()[0] == "reverse_text"
    shown = cli(registry, "show", "sort_values")
    assert "sort_values(a: list[int]) -> list[int]" in shown
    assert "return sorted(a)" in shown
    assert json.loads(cli(registry, "show", "sort_values", "--json"))["function"] == "sort_values"
    assert cli(registry, "search", "sum").split()[0] == "add_numbers"
    assert [t["name"] for t in json.loads(cli(registry, "search", "sort", "--json"))] == [
        "sort_values"
    ]
    cli(registry, "remove", "sort_values")
    assert "sort_values" not in cli(registry, "list")
    with pytest.raises(ConfigError, match="no tool 'sort_values'"):
        cli(registry, "show", "sort_values")
    with pytest.raises(ConfigError, match="there are network"):
        cli(registry, "list", "--category", "magic")


def test_an_mcp_box_has_name_description_code_and_usage(registry: Registry, tmp_path: Path) -> None:
    cli(registry, "box", "--out", str(tmp_path / "box.json"))
    found = json.loads((tmp_path / "box.json").read_text())
    assert [set(item) for item in found] == [{"name", "description", "code", "usage"}] * 3
    names: dict[str, Any] = {}
    exec(found[1]["code"], names)  # noqa: S102 - our own program
    assert names["reverse_text"]("abc") == "cba"
    assert "reverse_text(a='ab')  # 'ba'" in found[1]["usage"]
    assert mcp_box([]) == []


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "reverse", "description": "letters", "priority": 3}]',
        '{"requests": [{"name": "reverse", "description": "letters", "priority": 3}]}',
        '{"name": "reverse", "description": "letters", "priority": 3}\n',
    ],
)
def test_requests_are_matched_and_kept(registry: Registry, tmp_path: Path, text: str) -> None:
    path = tmp_path / "wanted.json"
    path.write_text(text)
    assert cli(registry, "request", str(path)) == "reverse: reverse_text\n"
    path.write_text('[{"name": "book_flight", "description": "Book a flight"}]')
    assert cli(registry, "request", str(path)) == "book_flight: no tool has it\n"
    kept = registry.requests()
    assert kept["reverse"]["tools"] == ["reverse_text"]
    assert kept["reverse"]["request"]["priority"] == 3
    assert kept["book_flight"]["tools"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no request"),
        ("[]", "holds no request"),
        ("{", "neither JSON"),
        ('[{"description": "x"}]', "request 1: name"),
        ("[3]", "request 1"),
    ],
)
def test_bad_requests_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wanted.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_requests(path)


def test_a_request_needs_half_of_its_words(tools: list[Tool]) -> None:
    wanted = Request(name="x", description="reverse the universe and everything in it twice")
    assert match([wanted], tools)[0].missing


def test_a_damaged_registry_is_named(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.tools() == []
    (tmp_path / "tools.parquet").write_bytes(b"x")
    with pytest.raises(StorageError, match=r"tools\.parquet: can't be read"):
        registry.tools()
    with pytest.raises(ConfigError, match="no tool is registered"):
        cli(Registry(tmp_path / "none"), "serve")


def test_our_own_wheel_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = own_wheel(tmp_path / "a"), own_wheel(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
