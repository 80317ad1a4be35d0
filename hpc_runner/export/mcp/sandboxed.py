"""What is run inside the sandbox to call a tool: its source stands before each call.

The standard library only, in the syntax of Python 3.8, and nothing of ours: it runs wherever
the program itself was validated.  The answer is a line of stdout that begins with the call's
nonce, so that nothing that a program prints is taken for it by chance.  A program that finds
the nonce in its own process can only say what it could have returned as well.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import sys
import types
from typing import Any, Callable, Dict, List

MAX_DEPTH = 100
MAX_ITEMS = 100_000
MESSAGE_CHARS = 2000

_COLLECTIONS: Dict[str, Callable[[Any], Any]] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "tuple_of": tuple,
}
_PLAIN: Dict[str, type] = {
    "none": type(None),
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
}


def shaped(value: Any, kind: List[Any]) -> Any:
    """A value of JSON as the type that the function was validated with."""
    name, parts = kind
    if name == "union":
        return _first_that_fits(value, parts)
    if name == "dict":
        _want(value, dict, name)
        return {_key(key, parts[0]): shaped(item, parts[1]) for key, item in value.items()}
    if name == "tuple":
        _want(value, list, name)
        if len(value) != len(parts):
            raise ValueError("a tuple of %d" % len(parts))
        return tuple(shaped(item, part) for item, part in zip(value, parts))
    if name in _COLLECTIONS:
        _want(value, list, name)
        return _COLLECTIONS[name](shaped(item, parts[0]) for item in value)
    if name == "bytes":
        return base64.b64decode(value, validate=True)
    if name == "int" and type(value) is float and value.is_integer():
        return int(value)
    if name in _PLAIN and not (name == "float" and type(value) is int):
        _want(value, _PLAIN[name], name)
    return value


def _want(value: Any, kind: type, name: str) -> None:
    if type(value) is not kind:
        raise TypeError("%s: found %.100r" % (name, value))


def _first_that_fits(value: Any, parts: List[Any]) -> Any:
    for part in parts:
        try:
            return shaped(value, part)
        except (TypeError, ValueError):
            continue
    raise TypeError("found %.100r" % (value,))


def _key(key: str, kind: List[Any]) -> Any:
    """JSON's keys are text."""
    if kind[0] in ("int", "float"):
        return {"int": int, "float": float}[kind[0]](key)
    if kind[0] in ("tuple", "tuple_of", "bool", "none"):
        return shaped(json.loads(key), kind)
    return key


def plain(value: Any, depth: int = 0) -> Any:
    """What JSON can hold of a result: tuples, sets and iterators as lists, bytes in base64.

    Raises TypeError for what is no plain data, ValueError for what JSON has no word for.
    """
    if value is None or value is True or value is False:
        return value
    if depth > MAX_DEPTH:
        raise ValueError("the result is nested deeper than %d, or in a circle" % MAX_DEPTH)
    if isinstance(value, str):
        return _unicode(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("the result holds %r, which JSON has no word for" % (value,))
        return float(value)
    if isinstance(value, dict):
        return {_text(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [plain(item, depth + 1) for item in _ordered(value)]
    if isinstance(value, (list, tuple)) or type(value).__name__ in ("deque", "range"):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if type(value).__module__ in ("decimal", "fractions", "datetime", "uuid"):
        return str(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist(), depth + 1)
    if hasattr(type(value), "__next__"):
        return [plain(item, depth + 1) for item in _items(value)]
    raise TypeError("the result holds a %s, which is no plain data" % type(value).__name__)


def _unicode(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            "the result holds a lone surrogate, which no UTF-8 text can hold"
        ) from None
    return text


def _items(value: Any) -> Any:
    for count, item in enumerate(value):
        if count == MAX_ITEMS:
            raise ValueError("the result has more than %d items" % MAX_ITEMS)
        yield item


def _ordered(value: Any) -> Any:
    try:
        return sorted(value)
    except TypeError:
        return sorted(value, key=repr)


def _text(key: Any) -> str:
    return _unicode(str(key)) if isinstance(key, str) else json.dumps(plain(key))


def load(code: str, name: str) -> Dict[str, Any]:
    """Executes the program as the module ``name``."""
    module = types.ModuleType(name)
    module.__file__ = "solution.py"
    sys.modules[name] = module
    exec(compile(code, "solution.py", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def call(request: Dict[str, Any]) -> Dict[str, Any]:
    """The answer to a call: ``value`` with what it ``changed`` of its arguments, or the ``kind``
    and text of an ``error``."""
    names = load(request["code"], "solution")
    path = request["function"].split(".")
    function = names[path[0]] if len(path) == 1 else getattr(names[path[0]](), path[1])
    arguments = {}
    for name, value in request["arguments"].items():
        arguments[name] = shaped(value, request["kinds"][name])
    before = copy.deepcopy(arguments)
    positional = [arguments[name] for name in request["positional"] if name in arguments]
    named = {n: v for n, v in arguments.items() if n not in request["positional"]}
    answer: Dict[str, Any] = {"value": plain(function(*positional, **named))}
    changed = {n: plain(v) for n, v in arguments.items() if _differs(before[n], v)}
    if changed:
        answer["changed"] = changed
    return answer


def _differs(before: Any, after: Any) -> bool:
    return isinstance(after, (list, dict, set)) and bool(before != after)


def record(request: Dict[str, Any]) -> Dict[str, Any]:
    """Runs the tests, and tells the ``calls`` of the function that they make: each as the
    text of its arguments, a tuple and a dictionary, so that their types are kept."""
    names = load(request["code"], "solution")
    function = names[request["function"]]
    calls: List[str] = []

    def recorded(*args: Any, **kwargs: Any) -> Any:
        if len(calls) < request["most"]:
            calls.append(repr((args, kwargs)))
        return function(*args, **kwargs)

    names[request["function"]] = recorded
    tests = types.ModuleType("tests")
    tests.__dict__.update({k: v for k, v in names.items() if not k.startswith("__")})
    try:
        for part in request["tests"]:
            exec(compile(part, "tests.py", "exec", dont_inherit=True), tests.__dict__)
        if request["unittest"]:
            import unittest

            unittest.TestLoader().loadTestsFromModule(tests).run(unittest.TestResult())
    except Exception:
        if not calls:
            raise
    return {"calls": calls}


def main(request: Dict[str, Any]) -> None:
    """Runs the request and says what came of it; a script ends as the interpreter would."""
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    if "function" not in request:
        sys.argv = ["solution.py", *request["argv"]]
        load(request["code"], "__main__")
        return
    answer: Dict[str, Any]
    try:
        answer = record(request) if "tests" in request else call(request)
    except Exception as error:
        answer = {"kind": type(error).__name__[:100], "error": str(error)[:MESSAGE_CHARS]}
    sys.stdout.flush()
    line = "\n%s %s\n" % (request["nonce"], json.dumps(answer))
    data = line.encode("ascii")
    while data:
        data = data[os.write(1, data) :]
