"""Inputs for a task's function: those of its tests, and others that look like them.

Tests that can't be trusted still say what the function is called with.  Their arguments are
the first inputs; more are made of them by changes that keep every type: a number becomes
another number, a list loses, repeats or exchanges elements, a text its characters.  Whether
the function is meant for all of them nobody knows (type-aware mutation: Liu et al. 2023,
EvalPlus).
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from hpc_runner.model import Assertions, Calls, Candidate

__all__ = ["MARK", "Examples", "examples", "inputs", "probe"]

_TRIES = 50
"""Changes that are tried for each input that is wanted; small types have few values."""
_LONGEST = 2000
"""Characters of an input, as Python writes it: repeating what is repeated has to end."""


class Examples(NamedTuple):
    """What a task's tests call: a function, and the positional arguments of each call."""

    entry_point: str
    arguments: list[tuple[Any, ...]]


def examples(tests: object) -> Examples | None:
    """None where the tests say nothing of the kind: programs that read stdin, unittest."""
    if isinstance(tests, Calls):
        found = [case.args for case in tests.cases if not case.kwargs]
        return Examples(tests.entry_point, _different(found)) if found else None
    if not isinstance(tests, Assertions):
        return None
    calls = [call for text in (tests.code, *tests.cases) for call in _calls(text)]
    names = Counter(name for name, _ in calls if name != "candidate")
    entry_point = tests.entry_point or next((name for name, _ in names.most_common(1)), None)
    if entry_point is None:
        return None
    found = [arguments for name, arguments in calls if name in (entry_point, "candidate")]
    return Examples(entry_point, _different(found)) if found else None


def inputs(found: Sequence[tuple[Any, ...]], count: int, seed: str) -> list[tuple[Any, ...]]:
    """``count`` inputs, or fewer: the given ones first.  The same for the same ``seed``."""
    made = list(found[:count])
    known = {repr(one) for one in made}
    draw = random.Random(hashlib.sha256(seed.encode()).digest())
    for _ in range(_TRIES * count):
        if len(made) >= count:
            break
        # Now and then a change of what was itself changed, so that they wander off.
        one = _changed_one(draw.choice(made if draw.random() < 0.5 else found), draw)
        text = repr(one)
        if text not in known and len(text) <= _LONGEST:
            known.add(text)
            made.append(one)
    return made


def probe(candidate: Candidate, entry_point: str, given: Sequence[tuple[Any, ...]]) -> str:
    """A program that ends with one line for people who compare: what the candidate's function
    makes of each input, as a digest, or ``!`` and the exception that it ends with."""
    each_s = candidate.limits.wall_s / (len(given) + 1)
    made = _PROBE.format(entry_point=entry_point, given=repr(list(given)), each_s=each_s)
    return f"{candidate.code}\n\n{made}"


MARK = "hpc-runner behaviour:"
"""How that line begins."""

_PROBE = (
    """
def _hpc_runner_probe():
    import copy, hashlib, io, signal, sys
    given = {given}

    def plain(value, depth=0):
        if depth > 20:
            return "deep"
        if isinstance(value, bool) or value is None or isinstance(value, (str, bytes)):
            return repr(value)
        if isinstance(value, (int, float)):
            return repr(int(value)) if value == value // 1 else "%.9g" % value
        if isinstance(value, (list, tuple)):
            return "[" + ",".join(plain(each, depth + 1) for each in value) + "]"
        if isinstance(value, (set, frozenset)):
            return "{{" + ",".join(sorted(plain(each, depth + 1) for each in value)) + "}}"
        if isinstance(value, dict):
            pairs = [plain(k, depth + 1) + ":" + plain(v, depth + 1) for k, v in value.items()]
            return "{{" + ",".join(sorted(pairs)) + "}}"
        return type(value).__name__

    def late(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    names = globals()
    call = names.get("{entry_point}") or getattr(names["Solution"](), "{entry_point}")
    shown, stdout = [], sys.stdout
    for arguments in given:
        try:
            sys.stdout = io.StringIO()
            signal.setitimer(signal.ITIMER_REAL, {each_s})
            value = plain(call(*copy.deepcopy(arguments)))
            shown.append(hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:12])
        except (Exception, SystemExit) as error:
            shown.append("!" + type(error).__name__)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.stdout = stdout
    print("\\n"""
    + MARK
    + """ " + " ".join(shown))


_hpc_runner_probe()
"""
)


def _calls(text: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Calls with literal arguments, in asserts; nothing for what isn't Python."""
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.Assert):
            continue
        for node in ast.walk(statement.test):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
                try:
                    arguments = tuple(ast.literal_eval(each) for each in node.args)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue
                if node.func.id not in _BUILTINS:
                    yield node.func.id, arguments


_BUILTINS = frozenset(dir(builtins))


def _different(found: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list({repr(one): one for one in found}.values())


def _changed_one(arguments: tuple[Any, ...], draw: random.Random) -> tuple[Any, ...]:
    if not arguments:
        return arguments
    place = draw.randrange(len(arguments))
    return tuple(
        _changed(value, draw) if n == place else value for n, value in enumerate(arguments)
    )


def _changed(value: Any, draw: random.Random) -> Any:
    """Another value of the same type, and of the same types within it; None stays."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice([value + 1, value - 1, -value, value * 2, value // 2, 0, 1])
    if isinstance(value, float):
        return draw.choice([value + 1.0, value - 0.5, -value, value * 2, value / 3, 0.0])
    if isinstance(value, str):
        return "".join(_rearranged(list(value), draw, _letter))
    if isinstance(value, list):
        return _rearranged(value, draw, _changed)
    if isinstance(value, tuple):
        return _changed_one(value, draw)  # its length may mean something
    if isinstance(value, set):
        return set(_rearranged(sorted(value, key=repr), draw, _changed))
    if isinstance(value, dict) and value:
        key = draw.choice(list(value))
        if draw.random() < 0.3:
            return {k: v for k, v in value.items() if k != key}
        return {k: _changed(v, draw) if k == key else v for k, v in value.items()}
    return value


def _letter(letter: str, draw: random.Random) -> str:
    """One of the same kind."""
    for kind in ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        if letter in kind:
            return draw.choice(kind)
    return letter


def _rearranged(items: list[Any], draw: random.Random, change: Any) -> list[Any]:
    found = list(items)
    if not found:
        return found
    place, other = draw.randrange(len(found)), draw.randrange(len(found))
    match draw.randrange(6):
        case 0:
            del found[place]
        case 1:
            found.insert(other, found[place])
        case 2:
            found[place], found[other] = found[other], found[place]
        case 3:
            found = found[:place] + found[place:][::-1]
        case _:
            found[place] = change(found[place], draw)
    return found
