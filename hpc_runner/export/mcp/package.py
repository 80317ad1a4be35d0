"""A server as a directory: a Python package that `uvx --from DIR NAME` starts, and all that
registries and clients want to know of it.

Rendering is pure: ``files`` gives every file's text by its relative path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc_runner.errors import ConfigError, StorageError
from hpc_runner.export.mcp.tools import Tool, ToolSet
from hpc_runner.results.files import atomic_file

__all__ = ["files", "module_name", "write_server"]

SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
NAMESPACE = "io.github.hpc-runner"
"""Of names in the MCP registry, until who publishes a server gives another one."""


def module_name(name: str) -> str:
    """Of the server's Python package."""
    return name.replace("-", "_") + "_mcp"


def write_server(tools: ToolSet, directory: Path, wheels: Mapping[str, Path] | None = None) -> None:
    """Write the server into ``directory``, which must not exist or be empty.

    ``wheels``: by the names of packages that don't come from an index, hpc-runner's at least;
    the server names them by their paths relative to its own.  Raises ``ConfigError``,
    ``StorageError``.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; give another directory, or remove it")
    found = {name: os.path.relpath(path, directory) for name, path in (wheels or {}).items()}
    try:
        for name, text in files(tools, found).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path, durable=False) as file:
                file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise StorageError(f"{directory}: can't be written: {error}") from error


def files(tools: ToolSet, wheels: Mapping[str, str] | None = None) -> dict[str, str]:
    """Relative path → text."""
    module = module_name(tools.name)
    package = f"src/{module}"
    made = {
        "README.md": _readme(tools),
        "pyproject.toml": _pyproject(tools, wheels or {}),
        "server.json": _json(server_json(tools)),
        "manifest.json": _json(manifest(tools)),
        "client.json": _json(client_lines(tools)),
        f"{package}/__init__.py": f'"""{_line(tools.title)}"""\n',
        f"{package}/__main__.py": _MAIN.format(title=_line(tools.title)),
        f"{package}/py.typed": "",
        f"{package}/tools.json": tools.model_dump_json(indent=1) + "\n",
        "tests/test_server.py": _TEST.format(module=module),
    }
    for tool in tools.tools:
        made[f"{package}/programs/{tool.name}.py"] = tool.code
    return made


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split()).replace('"', "'").replace("\\", "/")


_MAIN = '''"""Starts the MCP server over stdio: {title}"""

from pathlib import Path

from hpc_runner.export.mcp.server import main as serve


def main() -> None:
    serve(Path(__file__).with_name("tools.json"))


if __name__ == "__main__":
    main()
'''

_TEST = '''"""Calls every tool of this server with its examples, through the official client.

    python tests/test_server.py       or: pytest tests
"""

from pathlib import Path

from hpc_runner.export.mcp.verifying import verify

DIRECTORY = Path(__file__).resolve().parents[1]


def test_every_example_gives_what_was_validated() -> None:
    assert verify(DIRECTORY / "src" / "{module}").problems == ()


if __name__ == "__main__":
    test_every_example_gives_what_was_validated()
    print("every example gives what was validated")
'''


def _pyproject(tools: ToolSet, wheels: Mapping[str, str]) -> str:
    module = module_name(tools.name)
    needed = json.dumps(["hpc-runner[mcp]", *sorted(set(wheels) - {"hpc-runner"})])
    source = ""
    if wheels:
        source = (
            "\n# What lies beside the server; without these lines it comes from an index.\n"
            "[tool.uv.sources]\n"
        )
        source += "".join(
            f"{name} = {{ path = {json.dumps(path)} }}\n" for name, path in sorted(wheels.items())
        )
    return f"""[build-system]
requires = ["uv_build>=0.7,<1"]
build-backend = "uv_build"

[project]
name = {json.dumps(tools.name)}
version = {json.dumps(tools.version)}
description = {json.dumps(_short(tools.description), ensure_ascii=False)}
readme = "README.md"
requires-python = ">=3.11"
dependencies = {needed}

[project.scripts]
{tools.name} = "{module}.__main__:main"

[tool.uv.build-backend]
module-name = "{module}"
{source}"""


def _short(text: str, most: int = 100) -> str:
    """One line, without the examples of a docstring."""
    line = " ".join((text.partition(">>>")[0].strip() or text).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def server_json(tools: ToolSet) -> dict[str, Any]:
    """For the MCP registry, schema 2025-12-11."""
    return {
        "$schema": SERVER_SCHEMA,
        "name": f"{NAMESPACE}/{tools.name}",
        "title": _short(tools.title),
        "description": _short(tools.description),
        "version": tools.version,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": tools.name,
                "version": tools.version,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
            }
        ],
    }


def manifest(tools: ToolSet) -> dict[str, Any]:
    """Of an .mcpb bundle, version 0.4: uv starts the server."""
    module = module_name(tools.name)
    return {
        "manifest_version": "0.4",
        "name": tools.name,
        "display_name": _short(tools.title),
        "version": tools.version,
        "description": _short(tools.description),
        "author": {"name": "hpc_runner"},
        "server": {
            "type": "uv",
            "entry_point": f"src/{module}/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", tools.name],
                "env": {},
            },
        },
        "tools": [
            {"name": tool.name, "description": _short(tool.description)} for tool in tools.tools
        ],
        "compatibility": {"platforms": ["linux"], "runtimes": {"python": ">=3.11"}},
    }


def client_lines(tools: ToolSet) -> dict[str, Any]:
    """For a client's configuration; the directory is to be filled in."""
    return {
        "mcpServers": {
            tools.name: {
                "command": "uvx",
                "args": ["--from", "/path/to/" + tools.name, tools.name],
                "env": {},
            }
        }
    }


def _readme(tools: ToolSet) -> str:
    lines = json.dumps(client_lines(tools), indent=2)
    parts = [
        f"# {_line(tools.title)}\n\n{_quoted(tools.description)}\n\n"
        f"An MCP server over stdio with {len(tools.tools)} "
        f"tool{'s' if len(tools.tools) != 1 else ''}, made by hpc_runner from programs that it "
        "validated. Each call runs the program in hpc_runner's sandbox, under the limits that it "
        "was validated with; `--unsandboxed` runs it as an ordinary process.\n\n"
        f"```\nuvx --from . {tools.name}\n```\n\n"
        f"For a client, with this directory's path:\n\n```json\n{lines}\n```\n\n"
        "`python tests/test_server.py` calls every tool with its validated examples.\n"
    ]
    parts += map(_described, tools.tools)
    return "\n".join(parts)


def _described(tool: Tool) -> str:
    found = tool.provenance
    inferred = [one.name for one in tool.parameters if one.source == "inferred"]
    if tool.returns_source == "inferred":
        inferred.append("the result")
    rows = {
        "kind": f"{tool.category}; {', '.join(tool.capabilities)}",
        "quality": f"{tool.quality.score:g} of 100",
        "types inferred from examples": ", ".join(inferred),
        "task": _line(found.task_id),
        "run": found.run_id,
        "candidate": found.candidate_id,
        "agreement": f"{found.agreement:.0%} of {found.judged} executions",
        "environments": ", ".join(
            " ".join(filter(None, [e.name, e.python, e.image and f"image {e.image[:12]}"]))
            for e in found.environments
        ),
        "refined": f"{found.generation} times, by {found.refined_by or 'a model'}"
        if found.generation
        else "",
        "limits": f"{tool.limits.wall_s:g} s, {tool.limits.memory_bytes >> 20} MiB",
        "the same behaviour, left out": ", ".join(one[:12] for one in found.same_behaviour),
    }
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items() if value)
    example = tool.examples[0]
    return (
        f"## {tool.name}\n\n```python\n{tool.signature}\n```\n\n{_quoted(tool.description)}\n\n"
        f"| | |\n|---|---|\n{table}\n"
        f"```json\n{json.dumps(example.arguments, ensure_ascii=False)}\n"
        f"{json.dumps(example.expected, ensure_ascii=False)}\n```\n"
    )


def _quoted(text: str) -> str:
    """Text that was written by a model, so that it can't be taken for ours."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
