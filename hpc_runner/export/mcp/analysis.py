"""What a tool is able to do, what kind it is, and how good: from its text and its behaviour."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from hpc_runner.export.mcp.tools import Example, Parameter, Quality
from hpc_runner.export.mcp.types import Type

__all__ = ["CATEGORIES", "capabilities", "category", "imports", "quality"]

CATEGORIES = ("network", "process", "file", "data", "text", "numeric", "collection", "general")

_MODULES = {
    "network": "socket ssl http urllib ftplib smtplib imaplib poplib telnetlib requests httpx"
    " aiohttp urllib3 websockets paramiko",
    "process": "subprocess multiprocessing signal pty ctypes",
    "file": "shutil tempfile glob pathlib fileinput zipfile tarfile gzip bz2 lzma",
    "random": "random secrets uuid",
    "time": "time datetime calendar",
    "data": "csv json sqlite3 xml configparser tomllib pickle pandas numpy polars yaml html",
    "text": "re string textwrap difflib unicodedata",
    "numeric": "math cmath decimal fractions statistics scipy sympy",
    "threads": "threading asyncio concurrent queue",
}
_BY_MODULE = {name: what for what, names in _MODULES.items() for name in names.split()}
_OS_FILES = (
    "remove", "unlink", "rename", "mkdir", "makedirs", "rmdir", "listdir", "scandir", "walk",
    "stat", "open", "chmod",
)  # fmt: skip
_OS_PROCESSES = ("system", "popen", "fork", "execv", "execvp", "kill", "spawnv")
_UNSAFE = ("network", "process", "file")
_WEIGHTS = {
    "reliability": 0.30,
    "tests": 0.25,
    "interface": 0.20,
    "documentation": 0.15,
    "safety": 0.10,
}


def imports(tree: ast.Module) -> list[str]:
    """Names of the packages that a program imports, sorted."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return sorted(found)


def capabilities(
    tree: ast.Module, *, printed: bool, changed: bool, repeatable: bool
) -> tuple[str, ...]:
    """What it is able to do, sorted: from its text, and from what was seen of it: that it
    ``printed``, ``changed`` its arguments, gave the same on the same input.

    ``pure`` when nothing else than its result was seen or stands in its text.
    """
    found = {_BY_MODULE[name] for name in imports(tree) if name in _BY_MODULE}
    for node in ast.walk(tree):
        found |= _in_node(node)
    if printed:
        found.add("prints")
    if changed:
        found.add("changes_arguments")
    if not repeatable:
        found.add("varies")
    if not found - {"data", "text", "numeric"}:
        found.add("pure")
    return tuple(sorted(found))


def _in_node(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Global):
        return {"state"}
    if not isinstance(node, ast.Call):
        return set()
    if isinstance(node.func, ast.Name):
        named = {"open": "file", "input": "stdin", "exec": "dynamic", "eval": "dynamic"}
        return {named[node.func.id]} if node.func.id in named else set()
    if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "os":
        name = node.func.attr
        if name in _OS_FILES:
            return {"file"}
        return {"process"} if name in _OS_PROCESSES else set()
    return set()


def category(found: Iterable[str], parameters: Sequence[Parameter], returns: Type) -> str:
    """One of ``CATEGORIES``: what it touches, or else what its arguments are."""
    able = set(found)
    for name in (*_UNSAFE, "data"):
        if name in able:
            return name
    kinds = [name for one in parameters for name in _leaves(one.kind)]
    kinds = kinds or list(_leaves(returns))
    if kinds and all(name in ("str", "bytes") for name in kinds):
        return "text"
    if kinds and all(name in ("int", "float", "bool") for name in kinds):
        whole = all(one.kind.name in ("int", "float", "bool", "union") for one in parameters)
        return "numeric" if whole or "numeric" in able else "collection"
    if "str" in kinds:
        return "text"
    if any(one.kind.name in ("list", "dict", "set", "tuple", "tuple_of") for one in parameters):
        return "collection"
    return "general"


def _leaves(kind: Type) -> Iterable[str]:
    if not kind.of:
        if kind.name != "none":
            yield kind.name
        return
    for part in kind.of:
        yield from _leaves(part)


def quality(
    *,
    confidence: float,
    examples: Sequence[Example],
    sources: Sequence[str],
    docstring: str,
    able: Sequence[str],
) -> Quality:
    """The formula of docs/mcp.md.  ``confidence``: the lower end of the agreement's interval;
    ``sources``: where the types of parameters and result come from."""
    checked = sum(example.validated for example in examples)
    worth = {"declared": 1.0, "inferred": 0.5, "unknown": 0.0}
    parts = {
        "reliability": confidence,
        "tests": checked / (checked + 2),
        "interface": sum(worth[source] for source in sources) / max(1, len(sources)),
        "documentation": _documentation(docstring),
        "safety": _safety(able),
    }
    score = 100 * sum(_WEIGHTS[name] * value for name, value in parts.items())
    return Quality(**{name: round(v, 4) for name, v in parts.items()}, score=round(score, 1))


def _documentation(docstring: str) -> float:
    words = len(docstring.split())
    return 0.0 if not words else (0.5 + 0.25 * (words >= 8) + 0.25 * (words >= 20))


def _safety(able: Sequence[str]) -> float:
    if "pure" in able:
        return 1.0
    return 0.0 if {"network", "process", "dynamic"} & set(able) else 0.5
