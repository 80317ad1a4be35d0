"""The code blocks of the document that the code running tool comes from."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Blocks = Callable[[str], str]


def read_blocks(checkout: Path, kind: str = "python") -> Blocks:
    """Finds the block that holds some words; skips the test where the document isn't."""
    path = checkout.parent / "shared" / "spec" / "code_running_tool.md"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    parts = path.read_text(encoding="utf-8").split(f"```{kind}\n")[1:]
    found = [part.partition("```")[0] for part in parts]

    def find(words: str) -> str:
        return next(block for block in found if words in block)

    return find


def run_block(code: str, **names: Any) -> dict[str, Any]:
    """The names that a block, with ``await`` outside of functions, leaves."""
    compiled = compile(code, "document", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(compiled, names)  # noqa: S307 - our own document
    if inspect.iscoroutine(made):
        asyncio.run(made)
    return names
