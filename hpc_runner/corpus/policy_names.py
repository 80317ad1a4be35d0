"""What names and literals of a Python program's tree stand for, as far as that can be seen."""

from __future__ import annotations

import ast
import re

__all__ = [
    "Names",
    "are_codes",
    "constant_of",
    "is_fileno",
    "is_mixed",
    "is_namespace",
    "joined",
    "text_of",
]

_DEPTH = 8
_BUILTINS = {
    "eval", "exec", "compile", "breakpoint", "__import__", "getattr", "setattr", "delattr",
    "vars", "globals", "locals", "chr", "bytes", "bytearray", "map", "open", "exit", "quit",
    "SystemExit",
}  # fmt: skip


class Names:
    """Resolves expressions to dotted names.

    ``aliases``: name in the program → what it was imported as.  ``own``: names that
    the program defines at its top, which hide builtins.
    """

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {"__builtins__": "builtins"}
        self.own: set[str] = set()

    def of(self, node: ast.AST, depth: int = 0) -> str | None:
        """The dotted name that an expression stands for, as far as that can be seen."""
        if depth > _DEPTH:
            return None
        if isinstance(node, ast.Name):
            return self.plain(node.id)
        if isinstance(node, ast.Attribute):
            base = self.of(node.value, depth + 1)
            return joined(base, node.attr)
        if isinstance(node, ast.Subscript):
            return self._item(self.of(node.value, depth + 1), text_of(node.slice))
        if isinstance(node, ast.Call):
            return self._called(node, depth)
        return None

    def plain(self, name: str) -> str | None:
        if name in self.aliases:
            return self.aliases[name]
        if name in _BUILTINS and name not in self.own:
            return f"builtins.{name}"
        return None

    def _item(self, base: str | None, key: str | None) -> str | None:
        if base is None or key is None:
            return None
        if base == "globals()":
            return self.plain(key)
        if base == "sys.modules":
            return key
        return joined(base.removesuffix(".__dict__"), key) if is_namespace(base) else None

    def _called(self, node: ast.Call, depth: int) -> str | None:
        function = self.of(node.func, depth + 1)
        if function is None or len(node.args) == 0:
            return "globals()" if function in ("builtins.globals", "builtins.locals") else None
        if function == "builtins.getattr" and len(node.args) > 1:
            key = text_of(node.args[1])
            return joined(self.of(node.args[0], depth + 1), key) if key else None
        if function == "builtins.vars":
            return joined(self.of(node.args[0], depth + 1), "__dict__")
        if function in ("builtins.__import__", "importlib.import_module"):
            return text_of(node.args[0])
        return None


def joined(base: str | None, name: str) -> str | None:
    return None if base is None else f"{base}.{name}"


def is_namespace(base: str) -> bool:
    """Items of this are names: a module's or class's dictionary, or what ``__builtins__`` is."""
    return base == "builtins" or base.endswith(".__dict__")


def text_of(node: ast.AST, depth: int = 0) -> str | None:
    """The string that a literal, or a sum of literals, stands for."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and depth < _DEPTH:
        left, right = text_of(node.left, depth + 1), text_of(node.right, depth + 1)
        return None if left is None or right is None else left + right
    return None


def constant_of(function: ast.AST) -> object:
    """What a function always returns, if it is a literal at once; else None."""
    body: ast.AST | None = None
    if isinstance(function, ast.Lambda):
        body = function.body
    elif isinstance(function, ast.FunctionDef):
        statements = [s for s in function.body if not _is_docstring(s)]
        if len(statements) == 1 and isinstance(statements[0], ast.Return):
            body = statements[0].value
    return body.value if isinstance(body, ast.Constant) else None


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_fileno(node: ast.AST | None) -> bool:
    """``sys.stdout.fileno()`` and its like."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "fileno"
    )


def are_codes(node: ast.AST, least: int) -> bool:
    return (
        isinstance(node, (ast.List, ast.Tuple))
        and len(node.elts) >= least
        and all(isinstance(e, ast.Constant) and isinstance(e.value, int) for e in node.elts)
    )


def is_mixed(text: str) -> bool:
    """Digits and letters of both cases, or hex digits of both kinds: not DNA, not a number."""
    digits = any(c.isdigit() for c in text)
    if re.fullmatch(r"[0-9a-fA-F\s]+", text):
        return digits and any(c.isalpha() for c in text)
    return digits and any(c.islower() for c in text) and any(c.isupper() for c in text)
