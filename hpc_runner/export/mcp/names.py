"""Names of tools and servers: speaking, in one manner, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["described", "server_name", "tool_name", "unique"]

LONGEST = 48
_GENERIC = """
    solve solution main func function f fn foo bar test check candidate run answer task task_func
    my_function result compute process program go do script
"""
_STOP = """
    a an the of to in is are be for and or with that this it its you your given write function
    return returns which if as by from on at into not should will takes take find program check
    create make python code implement input output number list string task
"""


def tool_name(function: str, description: str, task_id: str) -> str:
    """``function`` in lower case with underscores, if it says anything; otherwise words of the
    description, or the task's id.  Letters, digits and underscores, a letter first."""
    own = _snake(function.rpartition(".")[2])
    if own and own not in _GENERIC.split() and len(own) > 2:
        return own
    spoken = described(description)
    return spoken or _snake(f"task {task_id}") or "tool"


def described(description: str, words: int = 4) -> str:
    """The first words of a description that say something: ``sum_squared_digits``."""
    sentence = re.split(r"[.\n:;(]", description.strip(), maxsplit=1)[0].lower()
    stop = _STOP.split()
    said = [word for word in re.findall(r"[a-z][a-z0-9]+", sentence) if word not in stop]
    return _snake(" ".join(said[:words])) if len(said) > 1 else ""


def unique(wanted: str, hint: str, taken: Iterable[str]) -> str:
    """``wanted``, or with ``hint`` (the task) at its end, or a number, so that it is not taken."""
    used = set(taken)
    name = wanted[:LONGEST].rstrip("_")
    if name not in used:
        return name
    tail = _snake(hint)
    if tail and (longer := f"{name[: LONGEST - 12]}_{tail[-24:].strip('_')}") not in used:
        return longer
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"


def server_name(words: str) -> str:
    """For a package and a command: lower case, hyphens."""
    return _snake(words).replace("_", "-") or "tools"


def _snake(words: str) -> str:
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    text = re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_").lower()
    if text and not text[0].isalpha():
        text = f"t_{text}"
    return text[:LONGEST].rstrip("_")
