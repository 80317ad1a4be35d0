"""A tool: what a server tells of it, what it runs, and where it comes from.

A tool is data.  It is written to a server's ``tools.json`` and to the registry, and all that
serves, tests or shows it is made from that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc_runner.config import IsolationLevel, explain
from hpc_runner.errors import StorageError
from hpc_runner.export.mcp.types import Type, schema, text
from hpc_runner.model import Limits

__all__ = [
    "Example",
    "Parameter",
    "Provenance",
    "Quality",
    "Tool",
    "ToolSet",
    "ValidatedIn",
    "read_tools",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Model):
    """An argument of a function."""

    name: str
    type: list[Any]
    """``types.Type`` as data."""
    source: Literal["declared", "inferred", "unknown"]
    """Where the type comes from: the annotation; tests and examples; neither says it."""
    required: bool = True
    default: Any = None
    """Plain JSON; null also where the function's own default is no plain data."""
    keyword_only: bool = False
    description: str = ""

    @property
    def kind(self) -> Type:
        return Type.from_data(self.type)


class Example(_Model):
    """Arguments as a client sends them, and what came of them."""

    arguments: dict[str, Any]
    expected: Any
    """The structured content that a server answers with."""
    validated: bool
    """The tests say so; otherwise it was seen when the tool was made."""


class ValidatedIn(_Model):
    """An environment that the program was validated in."""

    name: str
    python: str | None = None
    image: str | None = None
    """Hex SHA-256 of the image."""


class Provenance(_Model):
    """Where a tool comes from, and how far it can be believed."""

    run_id: str
    task_id: str
    candidate_id: str
    """Hex."""
    wave: int = 0
    generation: int = 0
    """How many refinements made it."""
    parent: str | None = None
    """Hex; the candidate that it was refined from."""
    refined_by: str | None = None
    """The model that refined it, or ``local`` for a repair without one."""
    judged: int
    """Executions that were judged."""
    agreement: float
    agreement_low: float | None = None
    """Lower end of the 95 % interval."""
    reliability: str | None = None
    judge: str | None = None
    environments: tuple[ValidatedIn, ...] = ()
    require_isolation: IsolationLevel = "filtered"
    hpc_runner: str
    """Version that made the tool."""
    same_behaviour: tuple[str, ...] = ()
    """Candidates (hex) that did the same on the same inputs, and were left out for this one."""


class Quality(_Model):
    """Parts between 0 and 1, and their weighted sum in percent; docs/mcp.md has the formula."""

    reliability: float
    tests: float
    interface: float
    documentation: float
    safety: float
    score: float


class Tool(_Model):
    """One function, or one script."""

    name: str
    title: str
    description: str
    kind: Literal["function", "script"]
    function: str = ""
    """The function's name in ``code``, or ``Class.method``."""
    parameters: tuple[Parameter, ...] = ()
    returns: list[Any]
    """``types.Type`` as data."""
    returns_source: Literal["declared", "inferred", "unknown"]
    code: str
    env: dict[str, str] = Field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    """Packages, as requirements."""
    limits: Limits
    category: str
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    quality: Quality
    examples: tuple[Example, ...] = ()
    provenance: Provenance

    @property
    def signature(self) -> str:
        """As it would stand in Python; inferred types are marked."""
        if self.kind == "script":
            words = [f"{p.name}: {text(p.kind)}" for p in self.parameters]
            return f"{self.name}({', '.join(words)})"
        words = []
        for one in self.parameters:
            if one.keyword_only and "*" not in words:
                words.append("*")
            default = "" if one.required else f" = {one.default!r}"
            words.append(f"{one.name}: {text(one.kind)}{default}")
        return f"{self.name}({', '.join(words)}) -> {text(Type.from_data(self.returns))}"

    def input_schema(self) -> dict[str, Any]:
        """Anything but these arguments is refused."""
        properties: dict[str, Any] = {}
        for one in self.parameters:
            described = schema(one.kind)
            notes = [one.description, described.pop("description", "")]
            if one.source == "inferred":
                notes.append("Type inferred from examples.")
            if any(notes):
                described["description"] = " ".join(filter(None, notes))
            if not one.required:
                described["default"] = one.default
            properties[one.name] = described
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": [one.name for one in self.parameters if one.required],
            "additionalProperties": False,
        }

    def output_schema(self) -> dict[str, Any]:
        """Of the structured content."""
        made = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
        }
        if self.kind == "script":
            return {
                **made,
                "properties": {
                    "stdout": {"type": "string"},
                    "stderr": {"type": "string"},
                    "exit_code": {"type": "integer"},
                },
                "required": ["stdout", "stderr", "exit_code"],
            }
        result = schema(Type.from_data(self.returns))
        if self.returns_source == "inferred":
            result["description"] = "Type inferred from examples."
        printed = {"type": "string", "description": "What the function printed."}
        changed = {"type": "object", "description": "Arguments that it changed, by name."}
        return {
            **made,
            "properties": {"result": result, "printed": printed, "changed": changed},
            "required": ["result"],
        }


class ToolSet(_Model):
    """The content of ``tools.json``."""

    format: int = 1
    name: str
    """Of the server."""
    version: str
    title: str
    description: str
    tools: tuple[Tool, ...] = Field(min_length=1)

    def by_name(self) -> Mapping[str, Tool]:
        return {tool.name: tool for tool in self.tools}


def read_tools(path: Path) -> ToolSet:
    """Raises ``StorageError`` for what isn't such a file."""
    try:
        return ToolSet.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: can't be read: {error}") from error
    except (ValidationError, json.JSONDecodeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else str(error)
        raise StorageError(f"{path}: is no list of tools of this version: {reason}") from error
