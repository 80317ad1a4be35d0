"""The split judge: the tests mean there what they mean in the candidate's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agents import Sandbox, assertions, calls, opened, unittests


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with opened() as sandbox:
        yield sandbox


HOLDS = {
    "a call": ("def f(x): return x + 1", "assert f(1) == 2"),
    "keywords": ("def f(a, *, b=2): return a - b", "assert f(5) == 3 and f(a=1, b=0) == 1"),
    "wrong arguments": (
        "def f(a): pass",
        "try: f()\nexcept TypeError as e: assert 'missing 1 required' in str(e)\nelse: assert 0",
    ),
    "sort in place": (
        "def f(l): l.sort()",
        "l = [3, 1, 2]\nassert f(l) is None\nassert l == [1, 2, 3]",
    ),
    "a nested change": (
        "def f(d): d['a'][0].append(1)",
        "inner = []\nd = {'a': [inner]}\nf(d)\nassert inner == [1] and d['a'][0] is inner",
    ),
    "a shorter list": ("def f(l): del l[1:]", "l = [1, 2, 3]\nsame = l\nf(l)\nassert same == [1]"),
    "a set": ("def f(s): s.add(3); s.discard(1)", "s = {1, 2}\nf(s)\nassert s == {2, 3}"),
    "bytes in place": ("def f(b): b[0] = 65", "b = bytearray(b'xyz')\nf(b)\nassert b == b'Ayz'"),
    "a change before an error": (
        "def f(l):\n    l.append(1)\n    raise KeyError('k')",
        "l = []\ntry: f(l)\nexcept KeyError: pass\nassert l == [1]",
    ),
    "types": (
        "def f(x): return x",
        "for x in (None, True, 1, 1.5, 'a', b'a', bytearray(b'a'), 1j, (1, (2,)), [1, [2]],"
        " {1: {2: 3}}, {(1, 2): {3}}, frozenset({(1,)}), -0.0, 10**100, float('inf')):\n"
        "    assert f(x) == x and type(f(x)) is type(x), x",
    ),
    "nan": ("def f(): return float('nan')", "x = f()\nassert x != x"),
    "deep data": (
        "def f(n):\n    x = []\n    for _ in range(n): x = [x]\n    return x",
        "x, n = f(150), 0\nwhile x: x, n = x[0], n + 1\nassert n == 150",
    ),
    "an error's arguments": (
        "def f(): raise ValueError('bad', 3, (1,))",
        "try: f()\nexcept ValueError as e: assert e.args == ('bad', 3, (1,))\nelse: assert 0",
    ),
    "an error's name": (
        "class Odd(LookupError): pass\ndef f(): raise Odd('x')",
        "try: f()\nexcept LookupError as e: assert type(e).__name__ == 'Odd' and str(e) == 'x'\n"
        "else: assert 0",
    ),
    "constants": (
        "LIMIT = 10\nNAMES = ['a']\ndef f(): return LIMIT",
        "assert f() == LIMIT and NAMES == ['a']",
    ),
    "what it imported": ("import math\ndef f(): return math.pi", "assert f() == math.pi"),
    "state between calls": (
        "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)",
        "f(0)\nassert f(0) == 2",
    ),
    "a function as a table's value": (
        "def f(): return 1\ndef g(): return 2",
        "assert [h() for h in (f, g)] == [1, 2]",
    ),
    "a cached function": (
        "import functools\n@functools.lru_cache\ndef f(x): return x",
        "assert f(1) == f(1) == 1",
    ),
    "an iterator": (
        "def f(): return iter([1])\ndef g():\n    yield 2\n    yield 3",
        "assert next(f()) == 1 and list(g()) == [2, 3] and sum(g()) == 5",
    ),
    "values of the library": (
        "from decimal import Decimal\nfrom fractions import Fraction\nimport datetime\n"
        "def f(): return [Decimal('1.10'), Fraction(1, 3), datetime.date(2026, 1, 2), range(3)]",
        "from decimal import Decimal\nfrom fractions import Fraction\nimport datetime\n"
        "assert f() == [Decimal('1.1'), Fraction(2, 6), datetime.date(2026, 1, 2), range(3)]",
    ),
    "big data": (
        "def f(l): return [x + 1 for x in l]",
        "assert f(list(range(200000))) == list(range(1, 200001))",
    ),
}


@pytest.mark.parametrize("what", HOLDS)
def test_what_crosses(sandbox: Sandbox, what: str) -> None:
    code, test = HOLDS[what]
    for judge in ("auto", "inline"):
        answer = sandbox.run(code, assertions(test), judge=judge)
        assert answer["verdict"] == "accepted", answer
    split = sandbox.run(code, assertions(test))
    assert (split["judge"], split["judge_reason"]) == ("split", None)


FALLS_BACK = {
    "its class": ("class C:\n    def g(self): return 1", assertions("assert C().g() == 1")),
    "an object": ("class C: x = 1\ndef f(): return C()", assertions("assert f().x == 1")),
    "an endless generator": (
        "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1",
        assertions("for n in f():\n    if n == 20000: break"),
    ),
    "a function in": ("def f(g): return g(2)", assertions("assert f(lambda x: x + 1) == 3")),
    "an attribute": ("def f(): pass\nf.x = 1", assertions("assert f.x == 1")),
    "assignment": ("def f(): pass", assertions("f.x = 1\nassert f.x == 1")),
    "its stdout": (
        "def f(): print('hello')",
        assertions(
            "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as out: f()\n"
            "assert out.getvalue() == 'hello\\n'"
        ),
    ),
    "its stdout, through sys": (
        "def f(): print('x')",
        assertions(
            "import sys, io\nold, sys.stdout = sys.stdout, io.StringIO()\nf()\n"
            "assert sys.stdout.getvalue() == 'x\\n'"
        ),
    ),
    "a module": ("import os\ndef f(): return os.getcwd()", assertions("assert f() == os.getcwd()")),
    "data in a circle": (
        "def f():\n    x = []\n    x.append(x)\n    return x",
        assertions("x = f()\nassert x[0] is x"),
    ),
}


@pytest.mark.parametrize("what", FALLS_BACK)
def test_what_does_not_cross_is_judged_inline_and_says_why(sandbox: Sandbox, what: str) -> None:
    code, tests = FALLS_BACK[what]
    answer = sandbox.run(code, tests)
    assert (answer["verdict"], answer["judge"]) == ("accepted", "inline"), answer
    assert answer["judge_reason"]
    forced = sandbox.run(code, tests, judge="split")
    assert (forced["verdict"], forced["judge"]) == ("policy_violation", "split")
    assert forced["error_type"] == "CannotCross"
    asked = sandbox.run(code, tests, judge="inline")
    assert (asked["verdict"], asked["judge"], asked["judge_reason"]) == ("accepted", "inline", None)


REACHES_IN = {
    "a seed": (
        "import random\ndef f(): return random.random()",
        assertions("import random\nrandom.seed(1)\na = f()\nrandom.seed(1)\nassert f() == a"),
    ),
    "a patch": (
        "import time\ndef f(): return time.time()",
        unittests(
            "def test(self):\n    from unittest.mock import patch\n"
            "    with patch('time.time', return_value=3): self.assertEqual(f(), 3)"
        ),
    ),
}


@pytest.mark.parametrize("what", REACHES_IN)
def test_tests_that_reach_into_the_program_are_run_inline(sandbox: Sandbox, what: str) -> None:
    code, tests = REACHES_IN[what]
    answer = sandbox.run(code, tests)
    assert (answer["verdict"], answer["judge"]) == ("accepted", "inline"), answer
    assert answer["judge_reason"]
    assert sandbox.run(code, tests, judge="split")["verdict"] == "policy_violation"


def test_a_wrong_program_is_still_wrong_after_the_fall_back(sandbox: Sandbox) -> None:
    answer = sandbox.run("class C: x = 2\ndef f(): return C()", assertions("assert f().x == 1"))
    assert (answer["verdict"], answer["judge"]) == ("wrong_answer", "inline")


@pytest.mark.parametrize("swallow", ["except:", "except BaseException:"])
def test_tests_that_swallow_everything_do_not_pass_for_a_program_that_left(
    sandbox: Sandbox, swallow: str
) -> None:
    test = f"try: f()\n{swallow} pass"
    answer = sandbox.run("import os\ndef f(): os._exit(0)", assertions(test))
    assert answer["verdict"] == "early_exit"
    # What only doesn't cross is judged where it needn't.
    answer = sandbox.run("def f(g): return g(1)", assertions(test.replace("f()", "f(abs)")))
    assert (answer["verdict"], answer["judge"]) == ("accepted", "inline")


def test_the_judge_never_runs_the_program(sandbox: Sandbox) -> None:
    code = (
        "import builtins, sys, unittest\nbuiltins.isinstance = lambda *a: True\n"
        "builtins.all = lambda *a: True\nunittest.TestCase.assertEqual = lambda *a: None\n"
        "class Always(int):\n    def __eq__(self, other): return True\n"
        "def f(): return Always(7)\n"
    )
    for tests in (
        assertions("assert f() == 1"),
        assertions("assert all([f() == 1]) and isinstance(f(), str)"),
        unittests("def test(self): self.assertEqual(f(), 1)"),
        calls(([], 1)),
    ):
        answer = sandbox.run(code, tests, judge="split")
        assert answer["verdict"] != "accepted", answer
