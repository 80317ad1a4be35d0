"""Capabilities that someone asks for, matched with the registry's tools.

A request is an object with a name and a description, as tool planners write them
(``{"name": ..., "description": ...}``); other keys are kept as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hpc_runner.config import explain
from hpc_runner.errors import ConfigError
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.export.registry import Registry, search

__all__ = ["Match", "Request", "match", "read_requests", "record"]

ENOUGH = 0.5
"""Of the words of a request must stand in a tool's own, by weight, for the tool to answer it."""


class Request(BaseModel):
    """A capability that is wanted."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    description: str = ""


class Match(BaseModel):
    """A request and the tools that may answer it, the best one first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Request
    tools: tuple[str, ...]

    @property
    def missing(self) -> bool:
        return not self.tools


_LISTS = ("requests", "capabilities", "tools", "mcps")


def read_requests(path: Path) -> list[Request]:
    """A JSON list of requests, JSON lines, or an object that has the list as ``requests``,
    ``capabilities``, ``tools`` or ``mcps``.  Raises ``ConfigError``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error
    found: list[Request] = []
    for number, item in enumerate(_items(path, text), 1):
        try:
            given = {"name": item} if isinstance(item, str) else item
            found.append(Request.model_validate(given))
        except ValidationError as error:
            raise ConfigError(f"{path}, request {number}: {explain(error)}") from error
    if not found:
        raise ConfigError(f"{path}: holds no request")
    return found


def _items(path: Path, text: str) -> list[Any]:
    try:
        content = json.loads(text)
    except ValueError:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise ConfigError(f"{path}: is neither JSON nor JSON lines: {error}") from error
    if isinstance(content, dict):
        key = next((key for key in _LISTS if isinstance(content.get(key), list)), None)
        return [content] if key is None else list(content[key])
    return list(content) if isinstance(content, list) else [content]


def match(requests: Sequence[Request], tools: Sequence[Tool]) -> list[Match]:
    """For each request, at most three tools that have enough of its words."""
    made = []
    for request in requests:
        words = f"{request.name} {request.description}"
        found = search(tools, words)
        best = [hit.tool.name for hit in found if hit.share >= ENOUGH]
        made.append(Match(request=request, tools=tuple(best[:3])))
    return made


def record(registry: Registry, requests: Sequence[Request]) -> list[Match]:
    """Match requests, and keep them in the registry; one of the same name is replaced.

    Raises ``StorageError``.
    """
    found = match(requests, registry.tools())
    registry.keep_requests({one.request.name: one.model_dump() for one in found})
    return found
