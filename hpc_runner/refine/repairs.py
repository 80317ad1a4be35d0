"""Repairs that need no model: what is wrong is plain, and so is the remedy.

A repair is tried only on a candidate that failed in the way that it addresses, and what it
makes is a new candidate.  Python only.  Of those for programs that don't compile one counts
only if the program compiles afterwards; none executes anything.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from hpc_runner.corpus.answers import compiles, extract_code
from hpc_runner.refine.failures import Failure

__all__ = ["REPAIRS", "Repaired", "repair"]

_NOT_COMPILED = ("SyntaxError", "IndentationError", "TabError", "ValueError", "UnicodeDecodeError")


@dataclass(frozen=True)
class Repaired:
    code: str
    names: tuple[str, ...]
    """Of the repairs that were made, in order."""


def repair(failure: Failure) -> Repaired | None:
    """The program as the repairs leave it, or None if they can do nothing."""
    candidate = failure.candidate
    if candidate.language != "python" or failure.flaky:
        return None
    if failure.verdict == "compile_error" and failure.error_type in _NOT_COMPILED:
        return _until_it_compiles(candidate.code)
    if failure.verdict == "runtime_error" and failure.error_type == "NameError":
        return _with_import(candidate.code, failure.error_message or "")
    return None


def _until_it_compiles(code: str) -> Repaired | None:
    """Each repair in turn, kept if it changes anything, until it is Python."""
    if compiles(code):
        return None  # it failed on another Python
    made = []
    for name, mend in REPAIRS.items():
        changed = mend(code)
        if changed == code:
            continue
        code = changed
        made.append(name)
        if compiles(code):
            return Repaired(code, tuple(made)) if _does_something(code) else None
    return None


def _does_something(code: str) -> bool:
    return bool(code.strip()) and any(
        not isinstance(item, ast.Expr) or not isinstance(item.value, ast.Constant | ast.Name)
        for item in _tree(code).body
    )


def _tree(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


# Encoding and escapes

_TYPOGRAPHY = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-",
    "\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2003": " ", "\u3000": " ", "\u00d7": "*",
    "\u2260": "!=", "\u2264": "<=", "\u2265": ">=", "\uff08": "(", "\uff09": ")",
    "\uff0c": ",", "\uff1a": ":", "\uff1b": ";",
})  # fmt: skip


def _encoding(code: str) -> str:
    """Byte order marks, NUL and other characters that no editor shows."""
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\ufeff\u200b\u200c\u200d\u2060\x00-\x08\x0b\x0e-\x1f\x7f]", "", code)


def _typography(code: str) -> str:
    """Quotation marks, dashes and spaces of a word processor."""
    return code.translate(_TYPOGRAPHY)


def _escapes(code: str) -> str:
    r"""A program on one line whose line ends and quotes are escaped: ``def f():\n    ...``."""
    if code.strip().count("\n") or "\\n" not in code:
        return code
    return code.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\'", "'")


def _entities(code: str) -> str:
    """``&lt;`` and its like, of a program that was taken from a web page."""
    for entity, text in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'")):
        code = code.replace(entity, text)
    return code.replace("&amp;", "&")


# Fences and indentation


def _fences(code: str) -> str:
    """The program between fences, without the prose around them."""
    return extract_code(code, "python")


def _prose(code: str) -> str:
    """Without the sentences before the first line of code and after the last one."""
    lines = code.split("\n")
    starts = (n for n, line in enumerate(lines) if _CODE_STARTS.match(line))
    first = next(starts, 0)
    end = len(lines)
    while end > first and _is_prose(lines[end - 1]):
        end -= 1
    return "\n".join(lines[first:end]) + "\n"


def _is_prose(line: str) -> bool:
    """An empty line, or words at the margin that are no statement."""
    return not line.strip() or (not line[0].isspace() and not compiles(line) and " " in line)


_CODE_STARTS = re.compile(
    r"^(import |from \w[\w.]* import |def \w|class \w|@\w|async def |if __name__)"
)


def _dedent(code: str) -> str:
    """Without the indentation that all lines share."""
    return textwrap.dedent(code).lstrip("\n")


def _tabs(code: str) -> str:
    """Spaces for tabs: up to the next multiple of eight, as Python 2 had it, or of four."""
    for width in (8, 4):
        spaces = functools.partial(_spaces, width)
        changed = re.sub(r"^[ \t]+", spaces, code, flags=re.MULTILINE)
        if compiles(changed):
            return changed
    return code


def _spaces(width: int, found: re.Match[str]) -> str:
    return found.group().expandtabs(width)


def _first_line(code: str) -> str:
    """The first line at the margin of the others, which lost its indentation or kept it alone."""
    head, _, rest = code.lstrip("\n").partition("\n")
    following = next((line for line in rest.split("\n") if line.strip()), "")
    margin = len(following) - len(following.lstrip())
    if head[:1].isspace() and not margin:
        return f"{head.lstrip()}\n{rest}"
    if not head[:1].isspace() and margin and not head.rstrip().endswith((":", ",", "(", "[", "{")):
        return f"{head}\n{textwrap.dedent(rest)}"
    return code


REPAIRS: dict[str, Callable[[str], str]] = {
    "encoding": _encoding,
    "escapes": _escapes,
    "fences": _fences,
    "tabs": _tabs,
    "dedent": _dedent,
    "first_line": _first_line,
    "typography": _typography,
    "entities": _entities,
    "prose": _prose,
}
"""By name, in the order in which they are tried; besides them there is ``import``."""

# Imports

_UNDEFINED = re.compile(r"name '(\w+)' is not defined")

NAMES = {
    **{name: f"from typing import {name}" for name in (
        "Any", "Callable", "Dict", "Iterable", "Iterator", "List", "Optional", "Set", "Tuple",
        "Union",
    )},
    **{name: f"from collections import {name}" for name in (
        "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple",
    )},
    **{name: f"from functools import {name}" for name in (
        "cache", "cmp_to_key", "lru_cache", "partial", "reduce",
    )},
    **{name: f"from itertools import {name}" for name in (
        "accumulate", "chain", "combinations", "groupby", "permutations", "product",
    )},
    **{name: f"from heapq import {name}" for name in ("heapify", "heappop", "heappush")},
    **{name: f"from math import {name}" for name in (
        "ceil", "comb", "floor", "gcd", "inf", "isqrt", "lcm", "log2", "prod", "sqrt",
    )},
    "bisect_left": "from bisect import bisect_left",
    "bisect_right": "from bisect import bisect_right",
    "dataclass": "from dataclasses import dataclass",
    "Decimal": "from decimal import Decimal",
    "Fraction": "from fractions import Fraction",
    "Path": "from pathlib import Path",
    "np": "",  # not the standard library's: left to the model
}  # fmt: skip
"""Names that have one meaning in most programs → the import that gives it."""

_RISKY = {"antigravity", "this", "test", "idlelib", "lib2to3", "site", "sitecustomize"}


def _with_import(code: str, message: str) -> Repaired | None:
    """With the import of the name that was missing, if it is the standard library's and the
    program gives it to nothing itself."""
    found = _UNDEFINED.search(message)
    if found is None or not compiles(code):
        return None
    name = found.group(1)
    statement = NAMES.get(name)
    if statement is None and name in sys.stdlib_module_names - _RISKY:
        statement = f"import {name}"
    if not statement or name in dir(builtins) or _binds(code, name):
        return None
    whole = _inserted(code, statement)
    return Repaired(whole, (f"import {name}",)) if compiles(whole) else None


def _binds(code: str, name: str) -> bool:
    """Whether the program defines the name anywhere: then an import may mean another thing."""
    for node in ast.walk(_tree(code)):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == name:
                return True
        elif isinstance(node, ast.alias):
            if (node.asname or node.name).split(".")[0] == name:
                return True
        elif isinstance(node, ast.arg) and node.arg == name:
            return True
    return False


def _inserted(code: str, statement: str) -> str:
    """After the docstring and the imports of ``__future__``, which must stay first."""
    last = 0
    for number, item in enumerate(_tree(code).body):
        docstring = number == 0 and isinstance(item, ast.Expr)
        future = isinstance(item, ast.ImportFrom) and item.module == "__future__"
        if not future and not (docstring and isinstance(item.value, ast.Constant)):  # type: ignore[attr-defined]
            break
        last = item.end_lineno or 0
    lines = code.split("\n")
    return "\n".join([*lines[:last], statement, *lines[last:]])
