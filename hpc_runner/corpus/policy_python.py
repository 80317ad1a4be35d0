"""The static pass over a Python program: a walk over its tree that never runs a line of it.

Names are followed through imports and aliases, ``getattr`` with a literal,
``__dict__`` and ``sys.modules``; not through assignments, containers and calls.
A program that means to hide does: the pass makes no program safe, the sandbox
and the split judge do.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hpc_runner.corpus.policy_names import (
    Names,
    are_codes,
    constant_of,
    is_fileno,
    is_mixed,
    is_namespace,
    joined,
    text_of,
)
from hpc_runner.corpus.policy_rules import MODULES, REFERENCES, RULES

__all__ = ["Found", "examine"]

Found = Callable[[str, str, int], None]
"""Is called with rule, message and line for each finding."""

_FUNCTION, _LOOP, _MAIN, _CLASS = 1, 2, 4, 8
_SHADOWING = {
    "all", "any", "abs", "bool", "callable", "getattr", "hasattr", "isinstance", "issubclass",
    "len", "repr", "round", "set", "sorted", "str", "type",
}  # fmt: skip
_FRAMES = {
    "f_back", "f_globals", "f_locals", "f_builtins", "f_trace", "tb_frame", "gi_frame",
    "cr_frame", "ag_frame", "__globals__",
}  # fmt: skip
_DECODERS = ("base64.", "binascii.", "zlib.", "bz2.", "lzma.", "gzip.", "codecs.", "marshal.")
_COMPUTED = ("builtins", "os", "sys", "posix", "ctypes", "importlib", "gc", "subprocess")
_EXITS = ("sys.exit", "builtins.exit", "builtins.quit", "builtins.SystemExit")
_STREAMS = {
    "sys.stdin", "sys.stdout", "sys.stderr", "sys.tracebacklimit", "sys.excepthook",
    "sys.displayhook", "sys.argv", "sys.path",
}  # fmt: skip
_FIXED = {"__eq__": True, "__ne__": False, "__instancecheck__": True, "__subclasscheck__": True}
_BLOB = re.compile(r"[A-Za-z0-9+/=_\-\s]{512,}\Z")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp)


def examine(code: str, in_process: bool, found: Found) -> dict[str, int]:
    """Report what there is to find; returns the modules that are imported, as dotted names,
    with the line of the first time.

    ``in_process``: the tests call the program, so rules that are about them apply.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        found("HR105", getattr(error, "msg", None) or type(error).__name__, line)
        return {}
    examination = _Examination(in_process, found)
    examination.run(tree)
    return examination.modules


def _nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, int]]:
    """Every node with what it stands in."""
    stack: list[tuple[ast.AST, int]] = [(tree, 0)]
    while stack:
        node, inside = stack.pop()
        yield node, inside
        below = inside
        if isinstance(node, _FUNCTIONS):
            below |= _FUNCTION
        elif isinstance(node, _LOOPS):
            below |= _LOOP
        elif isinstance(node, ast.ClassDef):
            below |= _CLASS
        elif isinstance(node, ast.If) and _is_main(node.test):
            below |= _MAIN
        for name in node._fields:
            child = getattr(node, name, None)
            if isinstance(child, ast.AST):
                stack.append((child, below))
            elif isinstance(child, list):
                stack.extend((item, below) for item in child if isinstance(item, ast.AST))


def _is_main(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
    )


class _Examination:
    def __init__(self, in_process: bool, found: Found) -> None:
        self._in_process = in_process
        self._found = found
        self._names = Names()
        self._codes = 0
        self.modules: dict[str, int] = {}

    def run(self, tree: ast.Module) -> None:
        nodes = list(_nodes(tree))
        for node, _ in nodes:
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)
        for statement in tree.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self._names.own.add(statement.name)
                self._bind(statement.name, statement.lineno)
        for node, inside in nodes:
            visit = _VISITS.get(type(node))
            if visit is not None:
                visit(self, node, inside)

    def _report(self, rule: str, message: str, node: ast.AST) -> None:
        if self._in_process or not RULES[rule].in_process:
            self._found(rule, message, getattr(node, "lineno", 0))

    # -- imports

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(alias.name, node)
            if alias.asname:
                self._names.aliases[alias.asname] = alias.name
            else:
                top = alias.name.partition(".")[0]
                self._names.aliases[top] = top

    def _import_from(self, node: ast.ImportFrom) -> None:
        if node.level or not node.module:
            return
        self._module(node.module, node)
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            self._names.aliases[alias.asname or alias.name] = full
            if full in MODULES:
                self._module(full, node)

    def _module(self, name: str, node: ast.AST) -> None:
        line = getattr(node, "lineno", 0)
        self.modules[name] = min(line, self.modules.get(name, line))
        rule = MODULES.get(name) or MODULES.get(name.partition(".")[0])
        if rule:
            self._report(rule, f"import {name}", node)

    # -- what is visited

    def _mention(self, node: ast.AST, inside: int) -> None:
        name = self._names.of(node)
        rule = REFERENCES.get(name) if name else None
        if name and rule:
            self._report(rule, name.removeprefix("builtins."), node)
            if rule == "HR304" and inside & _LOOP:
                self._report("HR305", name, node)

    def _visit_name(self, node: ast.Name, inside: int) -> None:
        if isinstance(node.ctx, ast.Load):
            self._mention(node, inside)
        elif isinstance(node.ctx, ast.Store) and not inside & (_FUNCTION | _CLASS):
            self._bind(node.id, node.lineno)

    def _visit_attribute(self, node: ast.Attribute, inside: int) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._patch(self._names.of(node), node)
            return
        self._mention(node, inside)
        self._attribute(node.attr, node)

    def _attribute(self, name: str, node: ast.AST) -> None:
        if name in _FRAMES:
            self._report("HR506", name, node)
        elif name == "__subclasses__":
            self._report("HR507", name, node)

    def _visit_subscript(self, node: ast.Subscript, inside: int) -> None:
        base = self._names.of(node.value)
        if base is None:
            return
        if isinstance(node.ctx, ast.Load):
            self._mention(node, inside)
            if is_namespace(base) and text_of(node.slice) is None:
                self._computed(base.removesuffix(".__dict__"), node)
        elif base == "sys.modules":
            self._report("HR511", "sys.modules", node)
        elif base == "globals()" and (key := text_of(node.slice)):
            self._bind(key, node.lineno)
        elif is_namespace(base):
            self._patch(joined(base.removesuffix(".__dict__"), "item"), node)

    def _visit_call(self, node: ast.Call, inside: int) -> None:
        function = self._names.of(node.func)
        if function is None:
            return
        arguments = node.args
        if function in ("builtins.eval", "builtins.exec", "builtins.compile"):
            decoder = next((name for part in arguments for name in self._decoders(part)), None)
            if decoder:
                self._report("HR401", f"{function.partition('.')[2]} of {decoder}", node)
        elif function in ("builtins.getattr", "builtins.setattr", "builtins.delattr"):
            self._access(function, node, inside)
        elif function in ("builtins.__import__", "importlib.import_module"):
            if arguments and (module := text_of(arguments[0])):
                self._module(module, node)
        elif function in _EXITS and not inside & (_FUNCTION | _MAIN):
            self._report("HR504", function.removeprefix("builtins."), node)
        elif function in ("os.write", "os.read", "os.fdopen", "builtins.open", "io.FileIO"):
            self._descriptor(function, node)
        elif function in ("builtins.chr", "builtins.map", "builtins.bytes", "builtins.bytearray"):
            self._assembled(function, node)

    def _access(self, function: str, node: ast.Call, inside: int) -> None:
        if len(node.args) < 2:
            return
        base, key = self._names.of(node.args[0]), text_of(node.args[1])
        if function == "builtins.getattr":
            self._mention(node, inside)
            if key:
                self._attribute(key, node)
        elif len(node.args) > 2 and key in _FIXED and constant_of(node.args[2]) is not None:
            self._equality(key, node.args[2])
        else:
            self._patch(joined(base, key or "item"), node)
        if base and key is None:
            self._computed(base, node)

    def _computed(self, base: str, node: ast.AST) -> None:
        if base.partition(".")[0] in _COMPUTED:
            self._report("HR404", base, node)

    def _descriptor(self, function: str, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        number = first.value if isinstance(first, ast.Constant) else None
        if isinstance(number, int) and not isinstance(number, bool):
            if number > 2:
                self._report("HR509", f"{function.removeprefix('builtins.')}({number})", node)
        elif function in ("os.write", "os.read", "os.fdopen") and not is_fileno(first):
            self._report("HR509", function, node)

    def _assembled(self, function: str, node: ast.Call) -> None:
        if not node.args:
            return
        first, last = node.args[0], node.args[-1]
        if function == "builtins.chr":
            self._codes += isinstance(first, ast.Constant)
            if self._codes == 8:
                self._report("HR403", "chr of literals", node)
        elif function == "builtins.map":
            if self._names.of(first) == "builtins.chr" and are_codes(last, 8):
                self._report("HR403", "map of chr", node)
        elif are_codes(first, 16):
            self._report("HR403", f"{function.partition('.')[2]} of literals", node)

    def _decoders(self, node: ast.AST) -> Iterator[str]:
        for count, part in enumerate(ast.walk(node)):
            name = self._names.of(part) if isinstance(part, (ast.Attribute, ast.Name)) else None
            if name and name.startswith(_DECODERS):
                yield name
            elif isinstance(part, ast.Attribute) and part.attr == "fromhex":
                yield "bytes.fromhex"
            if count > 200:
                return

    def _visit_dict(self, node: ast.Dict, _inside: int) -> None:
        """Of ``type("Name", (), {"__eq__": ...})`` and its like."""
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in _FIXED:
                self._equality(str(key.value), value)

    def _visit_class(self, node: ast.ClassDef, _inside: int) -> None:
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name in _FIXED:
                self._equality(part.name, part)
            elif isinstance(part, ast.Assign):
                for target in part.targets:
                    if isinstance(target, ast.Name) and target.id in _FIXED:
                        self._equality(target.id, part.value)

    def _equality(self, name: str, function: ast.AST) -> None:
        answer = constant_of(function)
        if answer is not None and bool(answer) is _FIXED[name]:
            self._report("HR502", name, function)

    def _visit_raise(self, node: ast.Raise, inside: int) -> None:
        outside = not inside & (_FUNCTION | _MAIN)
        raised = self._names.of(node.exc) if isinstance(node.exc, ast.Name) else None
        if outside and raised == "builtins.SystemExit":  # with arguments it is a call
            self._report("HR504", "SystemExit", node)

    def _visit_comprehension(self, node: ast.GeneratorExp | ast.ListComp, _inside: int) -> None:
        element = self._names.of(node.elt.func) if isinstance(node.elt, ast.Call) else None
        if element == "builtins.chr" and any(are_codes(p.iter, 8) for p in node.generators):
            self._report("HR403", "chr of literals", node)

    def _visit_constant(self, node: ast.Constant, _inside: int) -> None:
        value = node.value
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        if not isinstance(value, str) or len(value) < 6:
            return
        if "/proc/" in value or "/dev/fd/" in value:
            self._report("HR514", "/proc/" if "/proc/" in value else "/dev/fd/", node)
        for name in ("sitecustomize", "usercustomize", "conftest.py"):
            if name in value:
                self._report("HR515", name, node)
        if len(value) >= 512 and _BLOB.match(value) and is_mixed(value):
            self._report("HR402", f"{len(value)} characters", node)

    # -- assignments

    def _bind(self, name: str, line: int) -> None:
        """A name of the module itself is given a meaning."""
        if name == "__builtins__":
            self._found("HR501", name, line)
        elif name == "AssertionError" and self._in_process:
            self._found("HR510", name, line)
        elif name in _SHADOWING and self._in_process:
            self._found("HR512", name, line)

    def _patch(self, name: str | None, node: ast.AST) -> None:
        """An attribute or item of what ``name`` says is assigned or deleted."""
        if name is None or name in _STREAMS:
            return
        top = name.partition(".")[0]
        if top == "builtins":
            self._report("HR501", name, node)
        elif top in ("unittest", "pytest", "_pytest", "doctest"):
            self._report("HR510", name, node)
        elif name in REFERENCES and REFERENCES[name] == "HR513":
            self._report("HR513", name, node)
        elif top in sys.stdlib_module_names:
            self._report("HR511", name, node)


_VISITS: dict[type[ast.AST], Callable[[Any, Any, int], None]] = {
    ast.Name: _Examination._visit_name,
    ast.Attribute: _Examination._visit_attribute,
    ast.Subscript: _Examination._visit_subscript,
    ast.Call: _Examination._visit_call,
    ast.Dict: _Examination._visit_dict,
    ast.ClassDef: _Examination._visit_class,
    ast.Raise: _Examination._visit_raise,
    ast.GeneratorExp: _Examination._visit_comprehension,
    ast.ListComp: _Examination._visit_comprehension,
    ast.Constant: _Examination._visit_constant,
}
