"""The registry of tools: what was exported and verified, over all runs.

    DIR/tools.parquet     one row for each tool, whole: what `tools serve` serves
    DIR/tools.json        the same without programs and examples, for people and other programs
    DIR/requests.json     capabilities that were asked for

The directory is ``$HPC_RUNNER_TOOLS``, or ``~/.local/share/hpc_runner/tools``.  Writers take
turns; a reader always sees a whole file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from hpc_runner.errors import ConfigError, StorageError
from hpc_runner.export.mcp.names import unique
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.results.files import write_json, write_table

__all__ = ["TOOLS", "Hit", "Registry", "mcp_box", "registry_directory", "search"]

TOOLS = pa.schema(
    [
        ("name", pa.string()),
        ("title", pa.string()),
        ("description", pa.large_string()),
        ("signature", pa.string()),
        ("kind", pa.string()),
        ("category", pa.string()),
        ("capabilities", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("quality", pa.float64()),
        ("agreement", pa.float64()),
        ("judged", pa.int32()),
        ("run_id", pa.string()),
        ("task_id", pa.string()),
        ("candidate_id", pa.binary(32)),
        ("generation", pa.int16()),
        ("server", pa.string()),
        ("tool", pa.large_string()),
    ],
    metadata={"hpc_runner.schema": "tools", "hpc_runner.schema_version": "1"},
)
"""``tools.parquet``; ``tool`` is all of it as JSON."""


def registry_directory(given: str | None = None) -> Path:
    """``given``, or the one that the environment names, or the usual one."""
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_DATA_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return root / "hpc_runner" / "tools"


@dataclass(frozen=True)
class Registry:
    """The registry in a directory that need not exist yet."""

    directory: Path

    @property
    def path(self) -> Path:
        return self.directory / "tools.parquet"

    def tools(self) -> list[Tool]:
        """All of them, in the order in which they came.  Raises ``StorageError``."""
        if not self.path.exists():
            return []
        try:
            rows = pq.read_table(self.path, columns=["tool"])["tool"].to_pylist()
            return [Tool.model_validate_json(str(row)) for row in rows]
        except (pa.ArrowException, OSError, ValidationError) as error:
            raise StorageError(f"{self.path}: can't be read: {error}") from error

    def get(self, name: str) -> Tool:
        """Raises ``ConfigError`` when there is no such tool, with names that are like it."""
        tools = self.tools()
        for tool in tools:
            if tool.name == name:
                return tool
        near = ", ".join(hit.tool.name for hit in search(tools, name)[:5])
        raise ConfigError(
            f"no tool {name!r} is registered in {self.directory}"
            + (f"; there are {near}" if near else "; `hpc-runner tools list` shows those that are")
        )

    def add(self, tools: Sequence[Tool], server: str) -> list[str]:
        """Register tools of a server; the same candidate's tool is replaced, and a name that
        another one has is made another.  Returns the names.  Raises ``StorageError``."""
        return self.add_all([(server, tools)])

    def add_all(self, servers: Sequence[tuple[str, Sequence[Tool]]]) -> list[str]:
        """The same for many servers at once."""
        with self._turn():
            new = {tool.provenance.candidate_id for _, tools in servers for tool in tools}
            rows = [row for row in self._rows() if row["candidate_id"].hex() not in new]
            taken = {row["name"] for row in rows}
            names: list[str] = []
            for server, tools in servers:
                for tool in tools:
                    names.append(unique(tool.name, tool.provenance.task_id, taken))
                    taken.add(names[-1])
                    rows.append(_row(tool.model_copy(update={"name": names[-1]}), server))
            self._write(rows)
        return names

    def remove(self, name: str) -> None:
        """Raises ``ConfigError`` when there is no such tool, ``StorageError``."""
        self.get(name)
        with self._turn():
            self._write([row for row in self._rows() if row["name"] != name])

    def requests(self) -> dict[str, Any]:
        """Capabilities that were asked for, by name.  Raises ``StorageError``."""
        path = self.directory / "requests.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StorageError(f"{path}: can't be read: {error}") from error

    def keep_requests(self, requests: Mapping[str, Any]) -> None:
        """Raises ``StorageError``."""
        with self._turn():
            write_json(self.directory / "requests.json", {**self.requests(), **requests})

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        try:
            rows: list[dict[str, Any]] = pq.read_table(self.path).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise StorageError(f"{self.path}: can't be read: {error}") from error
        return rows

    def _write(self, rows: list[dict[str, Any]]) -> None:
        write_table(self.path, pa.Table.from_pylist(rows, schema=TOOLS))
        hidden = ("tool",)
        shown = [{name: row[name] for name in row if name not in hidden} for row in rows]
        for row in shown:
            row["candidate_id"] = row["candidate_id"].hex()
        write_json(self.directory / "tools.json", {"tools": shown})

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer at a time, on one machine."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with (self.directory / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StorageError(f"{self.directory}: can't be written: {error}") from error


def _row(tool: Tool, server: str) -> dict[str, Any]:
    found = tool.provenance
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "signature": tool.signature,
        "kind": tool.kind,
        "category": tool.category,
        "capabilities": list(tool.capabilities),
        "tags": list(tool.tags),
        "quality": tool.quality.score,
        "agreement": found.agreement,
        "judged": found.judged,
        "run_id": found.run_id,
        "task_id": found.task_id,
        "candidate_id": bytes.fromhex(found.candidate_id),
        "generation": found.generation,
        "server": server,
        "tool": tool.model_dump_json(),
    }


@dataclass(frozen=True)
class Hit:
    """A tool that was found."""

    tool: Tool
    score: float
    share: float
    """Of what was looked for, by weight, stands in the tool's own words."""


def search(tools: Iterable[Tool], words: str) -> list[Hit]:
    """Tools that have one of the words at least, the best ones first: words that few tools have
    count more, and those of a name twice (BM25's weights without its lengths)."""
    known = list(tools)
    bags = [_bag(tool) for tool in known]
    having = Counter(word for bag in bags for word in bag)
    wanted = dict.fromkeys(_words(words))
    rarity = {
        word: math.log(1 + (len(known) - having[word] + 0.5) / (having[word] + 0.5))
        for word in wanted
    }
    found: list[Hit] = []
    for tool, bag in zip(known, bags, strict=True):
        weights = {word: rarity[word] for word in wanted if bag[word]}
        if weights:
            score = sum(w * bag[word] * 2.2 / (bag[word] + 1.2) for word, w in weights.items())
            found.append(Hit(tool, score, sum(weights.values()) / sum(rarity.values())))
    return sorted(found, key=lambda hit: (-hit.score, -hit.tool.quality.score, hit.tool.name))


def _bag(tool: Tool) -> Counter[str]:
    bag = Counter(_words(f"{tool.description} {tool.title} {' '.join(tool.tags)} {tool.category}"))
    for word in _words(tool.name):
        bag[word] += 2
    for one in tool.parameters:
        bag.update(_words(one.name))
    return bag


_SMALL = "a an the of to in is are for and or that it with from by on as be"


def _words(text: str) -> list[str]:
    """Lower case, without plural's s."""
    found = re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())
    short = (word[:-1] if len(word) > 3 and word.endswith("s") else word for word in found)
    small = _SMALL.split()
    return [word for word in short if word not in small]


def mcp_box(tools: Iterable[Tool]) -> list[dict[str, str]]:
    """In the form of Alita's MCP box: name, description, code and usage of each."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "code": tool.code,
            "usage": _usage(tool),
        }
        for tool in tools
    ]


def _usage(tool: Tool) -> str:
    lines = [tool.signature]
    for example in tool.examples[:2]:
        given = ", ".join(f"{name}={value!r}" for name, value in example.arguments.items())
        answer = example.expected.get("result", example.expected)
        lines.append(f"{tool.name}({given})  # {answer!r:.200}")
    return "\n".join(lines)
