"""Each rule finds what it names and leaves alone what only looks like it."""

from __future__ import annotations

import re
import string
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_runner.config import PolicyConfig, Severity
from hpc_runner.corpus.packages import declared_name
from hpc_runner.corpus.policy import (
    Finding,
    Policy,
    check,
    given_environment,
    refused,
    signs,
)
from hpc_runner.corpus.policy_rules import MODULES, REFERENCES, RULES, severity, validate
from hpc_runner.corpus.readers import Sample, open_corpus
from hpc_runner.errors import ConfigError
from hpc_runner.model import Assertions, Candidate, Stdio, StdioCase

CALLED = Assertions(cases=("check(f)",))
PRINTED = Stdio(cases=(StdioCase(stdout=""),))


def candidate(code: str, **fields: Any) -> Candidate:
    return Candidate(**{"task_id": "T", "tests": CALLED, "code": code, **fields})


def findings(code: str, **fields: Any) -> list[Finding]:
    return check(candidate(code, **fields), Policy())


def rules(code: str, **fields: Any) -> set[str]:
    return {finding.rule for finding in findings(code, **fields)}


# fmt: off
FIRES = [
    ("HR101", "x = 1\n" * 50_000),
    ("HR102", "x = 'a\0b'"),
    ("HR103", "x = '\ud800'"),
    ("HR104", "access = 'user\u202e' # admin"),
    ("HR104", "x = '\u2066'"),
    ("HR105", "def f(:"),
    ("HR105", "-" * 100_000 + "1"),
    ("HR201", "import ctypes"),
    ("HR201", "from ctypes.util import find_library"),
    ("HR201", "__import__('cty' + 'pes')"),
    ("HR202", "import importlib.util"),
    ("HR203", "from subprocess import run"),
    ("HR203", "import multiprocessing as m"),
    ("HR204", "import socket"),
    ("HR204", "from urllib import request"),
    ("HR205", "import gc"),
    ("HR301", "eval('1')"),
    ("HR301", "e = exec"),
    ("HR301", "import builtins as b\nb.exec('1')"),
    ("HR301", "__builtins__['eval']('1')"),
    ("HR301", "__builtins__.__dict__['eval']('1')"),
    ("HR301", "globals()['__builtins__'].eval('1')"),
    ("HR301", "getattr(__builtins__, 'ev' + 'al')('1')"),
    ("HR302", "__import__('math')"),
    ("HR302", "from importlib import import_module as i\ni('math')"),
    ("HR303", "import os\nos.system('ls')"),
    ("HR303", "from os import execv as e\ne('/bin/ls', [])"),
    ("HR303", "import sys\nsys.modules['os'].system('ls')"),
    ("HR303", "__import__('os').system('ls')"),
    ("HR304", "import os\nos.fork()"),
    ("HR305", "import os\nwhile True:\n    os.fork()"),
    ("HR305", "from os import fork\n[fork() for _ in range(9)]"),
    ("HR306", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
    ("HR307", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1, 1))"),
    ("HR401", "import base64\nexec(base64.b64decode('cGFzcw=='))"),
    ("HR401", "exec(bytes.fromhex('70617373').decode())"),
    ("HR401", "from zlib import decompress as d\neval(compile(d(b''), '', 'eval'))"),
    ("HR402", f"x = '{'aGVsbG8gd29ybGQ5' * 40}'"),
    ("HR402", f"x = b'{'deadbeef01' * 60}'"),
    ("HR403", "x = ''.join(chr(c) for c in [101, 118, 97, 108, 40, 49, 41, 10])"),
    ("HR403", "x = ''.join(map(chr, (101, 118, 97, 108, 40, 49, 41, 10)))"),
    ("HR403", "x = " + " + ".join(f"chr({n})" for n in range(97, 107))),
    ("HR403", f"x = bytes({list(range(32))})"),
    ("HR404", "import os\ngetattr(os, input())"),
    ("HR404", "__builtins__[''.join(['e', 'val'])]"),
    ("HR404", "import sys\nvars(sys)[name]"),
    ("HR501", "import builtins\nbuiltins.isinstance = lambda *_: True"),
    ("HR501", "__builtins__['len'] = lambda _: 0"),
    ("HR501", "setattr(__builtins__, 'abs', lambda _: 0)"),
    ("HR501", "__builtins__ = {}"),
    ("HR502", "class A:\n    def __eq__(self, other):\n        'Says yes.'\n        return True"),
    ("HR502", "class A(int):\n    __eq__ = lambda self, other: True"),
    ("HR502", "A = type('A', (), {'__eq__': lambda self, other: 1})"),
    ("HR502", "class A: pass\nsetattr(A, '__eq__', lambda s, o: True)"),
    ("HR502", "class A:\n    def __ne__(self, other): return False"),
    ("HR503", "import os\ndef f(): os._exit(0)"),
    ("HR503", "from os import _exit"  "\n_exit(0)"),
    ("HR503", "getattr(__import__('os'), '_exit')(0)"),
    ("HR504", "import sys\nsys.exit(0)"),
    ("HR504", "if True:\n    raise SystemExit"),
    ("HR504", "raise SystemExit(0)"),
    ("HR504", "exit()"),
    ("HR505", "import atexit"),
    ("HR506", "import sys\nsys._getframe(1)"),
    ("HR506", "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame"),
    ("HR506", "getattr(frame, 'f_back')"),
    ("HR506", "from inspect import stack\nstack()"),
    ("HR507", "import gc\ngc.get_objects()"),
    ("HR507", "().__class__.__base__.__subclasses__()"),
    ("HR508", "import sys\nsys.settrace(None)"),
    ("HR509", "import os\nos.write(5, b'accepted')"),
    ("HR509", "import os\nfor i in range(9):\n    os.write(i, b'accepted')"),
    ("HR509", "open(4, 'w')"),
    ("HR509", "import os\nos.dup2(1, 9)"),
    ("HR510", "import unittest\nunittest.TestCase.assertEqual = lambda *a: None"),
    ("HR510", "from unittest import TestCase as T\nsetattr(T, 'fail', print)"),
    ("HR510", "class AssertionError(Exception): pass"),
    ("HR511", "import math\nmath.isclose = lambda *a, **k: True"),
    ("HR511", "import sys\nsys.modules['numpy'] = None"),
    ("HR511", "import sys\nsys.exit = print"),
    ("HR512", "def isinstance(a, b): return True"),
    ("HR512", "all = lambda _: True"),
    ("HR512", "globals()['len'] = lambda _: 3"),
    ("HR513", "import sys\nsys.meta_path.insert(0, finder)"),
    ("HR513", "import sys\nsys.meta_path = []"),
    ("HR514", "open('/proc/self/mem', 'r+b')"),
    ("HR515", "open('sitecustomize.py', 'w')"),
    ("HR515", "open('conftest.py', 'w')"),
    ("HR601", "import numpy"),
]
QUIET = [
    ("HR301", "import re\nre.compile('x')"),
    ("HR301", "def eval(x): return x\neval(1)"),
    ("HR301", "class A:\n    def compile(self): pass\nA().compile()"),
    ("HR305", "import os\nos.fork()"),
    ("HR401", "import base64\nprint(base64.b64decode('aGk='))\nexec('x = 1')"),
    ("HR402", f"dna = '{'ACGT' * 200}'"),
    ("HR402", f"number = '{'7316717653' * 100}'"),
    ("HR402", f"text = '{'the quick brown fox ' * 40}'"),
    ("HR403", "def f(s): return ''.join(chr(ord(c) + 1) for c in s)"),
    ("HR404", "def f(o, n): return getattr(o, n)"),
    ("HR501", "import builtins\nx = builtins.len"),
    ("HR502", "class P:\n    def __eq__(self, o): return self.x == o.x"),
    ("HR502", "class P:\n    def __eq__(self, o): return False"),
    ("HR504", "import sys\nif __name__ == '__main__':\n    sys.exit(main())"),
    ("HR504", "import sys\ndef main():\n    sys.exit(0)"),
    ("HR504", "try:\n    f()\nexcept SystemExit:\n    pass"),
    ("HR509", "import os, sys\nos.write(1, b'x')\nos.read(0, 9)"),
    ("HR509", "import os, sys\nos.write(sys.stdout.fileno(), b'')"),
    ("HR509", "data = open('input.txt').read() + open(0).read()"),
    ("HR511", "import sys\nsys.stdin = open('a')\nsys.setrecursionlimit(10)"),
    ("HR511", "class A: pass\na = A()\na.x = 1\na.b.c = 2"),
    ("HR511", "from dataclasses import dataclass\nself = make()\nself.math = 1"),
    ("HR512", "def f():\n    len = 3\n    return len"),
    ("HR512", "class A:\n    def all(self): pass\n    len = 2"),
    ("HR512", "print(len([1]))"),
    ("HR601", "import os.path, collections, solution\nfrom . import x"),
]
# fmt: on


@pytest.mark.parametrize(("rule", "code"), FIRES)
def test_finds(rule: str, code: str) -> None:
    assert rule in rules(code)


@pytest.mark.parametrize(("rule", "code"), QUIET)
def test_leaves_alone(rule: str, code: str) -> None:
    assert rule not in rules(code)


def test_every_rule_has_an_example() -> None:
    elsewhere = {"HR602", "HR603", "HR701", "HR702"}  # they are not about the program
    assert {rule for rule, _ in FIRES} | elsewhere == set(RULES)
    assert set(MODULES.values()) | set(REFERENCES.values()) <= set(RULES)


def test_a_finding_reads_as_in_the_results() -> None:
    (found,) = findings("import os\n\nos._exit(0)\nos._exit(1)\n")
    assert found == Finding("HR503", "warn", 3, "os._exit")
    assert str(found) == "HR503 os._exit: line 3"
    (found,) = findings("", env={"FOO": "secret"})
    assert str(found) == "HR701 FOO"


def test_what_only_matters_to_tests_in_the_process_is_left_alone_elsewhere() -> None:
    """A program judged by what it prints may exit as it likes, and contest code does."""
    code = "import atexit, os, sys\nos.write(3, b'')\nlen = 3\nAssertionError = 1\nsys.exit()"
    assert rules(code, tests=PRINTED) == set()
    assert rules(code) == {"HR504", "HR505", "HR509", "HR510", "HR512"}


def test_other_languages_are_checked_as_text_only() -> None:
    code = "import os; os._exit(0) // \u202e"
    assert rules(code, language="javascript") == {"HR104"}


def test_the_environment_of_a_message_is_never_a_value() -> None:
    for finding in findings("", env={"API_KEY": "sk-secret", "LD_PRELOAD": "/x.so"}):
        assert "secret" not in str(finding) and "x.so" not in str(finding)


# Modes and overrides


def test_modes() -> None:
    bad = candidate("import os\nos._exit(0)")
    assert [f.severity for f in check(bad, Policy())] == ["warn"]
    assert [f.severity for f in check(bad, Policy(mode="refuse"))] == ["refuse"]
    assert check(bad, Policy(mode="off")) == []
    assert refused(check(bad, Policy())) is None
    strict = refused(check(bad, Policy(mode="refuse")))
    assert strict is not None and strict.rule == "HR503"


@pytest.mark.parametrize("mode", ["off", "warn", "refuse"])
@pytest.mark.parametrize("wanted", ["off", "warn", "refuse"])
def test_a_rule_that_is_set_is_what_it_is_set_to_in_every_mode(
    mode: Severity, wanted: Severity
) -> None:
    policy = Policy(mode=mode, rules={"HR503": wanted})
    found = check(candidate("import os\nos._exit(0)"), policy)
    assert [f.severity for f in found] == ([] if wanted == "off" else [wanted])


def test_an_unparsable_program_stays_a_compile_error_in_the_strictest_mode() -> None:
    assert refused(check(candidate("def f(:"), Policy(mode="refuse"))) is None


def test_an_unknown_rule_is_a_mistake_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'HR999'.*HR101.*HR702"):
        validate(Policy(rules={"HR999": "off"}))
    validate(Policy(rules={"HR101": "off"}))


def test_a_flood_of_findings_is_cut_and_keeps_what_refuses() -> None:
    code = "\n".join(f"import {a}{b}x" for a in "abcdefgh" for b in string.ascii_lowercase)
    found = check(candidate(code + "\nopen('/proc/1/mem')"), Policy(rules={"HR514": "refuse"}))
    assert len(found) == 40
    assert refused(found) is not None


# Dependencies


@pytest.mark.parametrize(
    ("dependency", "name"),
    [
        ("numpy", "numpy"),
        ("Scikit_Learn >= 1.2, <2", "scikit-learn"),
        ("requests[socks,security]==2.31.*", "requests"),
        ("zope.interface~=6.0", "zope-interface"),
        ('tomli; python_version < "3.11"', "tomli"),
        ("foo (>=1)", "foo"),
        ("git+https://example.org/x.git", None),
        ("foo @ https://example.org/foo.whl", None),
        ("./local", None),
        ("/etc/passwd", None),
        ("../x.whl", None),
        ("-r/etc/passwd", None),
        ("--index-url=https://evil.example", None),
        ("numpy\n--index-url https://evil.example", None),
        ("numpy --index-url https://evil.example", None),
        ("foo; python_version < '3'\n-e .", None),
        ("foo ; @ https://x", None),
        ("", None),
    ],
)
def test_a_dependency_is_a_name_and_nothing_else(dependency: str, name: str | None) -> None:
    assert declared_name(dependency) == name
    fired = {f.rule: f.severity for f in findings("", dependencies=(dependency,))}
    assert fired == ({"HR603": "refuse"} if name is None else {"HR602": "warn"})


def test_a_list_of_allowed_dependencies_is_enforced() -> None:
    policy = Policy(allow_dependencies=("NumPy", "scikit_learn"))
    fine = candidate("import numpy.linalg\nfrom sklearn import svm", dependencies=("numpy>1",))
    assert check(fine, policy) == []
    declared = check(candidate("", dependencies=("pandas",)), policy)
    assert [str(f) for f in declared] == ["HR602 pandas"] and refused(declared)
    detected = check(candidate("x = 1\nimport pandas"), policy)
    assert [str(f) for f in detected] == ["HR601 import pandas: line 2"] and refused(detected)
    hidden = check(candidate("__import__('pandas')"), policy)
    assert "HR601" in {f.rule for f in hidden if f.severity == "refuse"}


def test_what_is_declared_may_be_imported_under_its_other_name() -> None:
    assert rules("import yaml, PIL.Image", dependencies=("PyYAML", "Pillow")) == {"HR602"}
    assert rules("from google.protobuf import x", dependencies=("google-protobuf",)) == {"HR602"}
    assert rules("import yaml") == {"HR601"}


# The environment


def test_without_a_list_only_steering_variables_are_taken_away() -> None:
    env = {"GREETING": "x", "LANG": "C", "LD_PRELOAD": "x", "PYTHONPATH": "x"}
    asked = candidate("", env=env)
    assert set(given_environment(asked, Policy())) == {"GREETING", "LANG"}
    assert [str(f) for f in check(asked, Policy())] == [
        "HR701 GREETING",
        "HR702 LD_PRELOAD",
        "HR702 PYTHONPATH",
    ]


def test_a_list_of_allowed_variables_is_enforced() -> None:
    asked = candidate("", env={"APP_A": "1", "OTHER": "2", "LC_ALL": "C", "PYTHONPATH": "/x"})
    policy = Policy(allow_env=("APP_*", "PYTHONPATH"))
    assert given_environment(asked, policy) == {"APP_A": "1", "LC_ALL": "C", "PYTHONPATH": "/x"}
    assert [str(f) for f in check(asked, policy)] == ["HR701 OTHER"]


def test_switched_off_takes_nothing_away() -> None:
    env = {"OTHER": "2", "LD_PRELOAD": "x"}
    assert given_environment(candidate("", env=env), Policy(mode="off")) == env
    one = Policy(allow_env=("A",), rules={"HR701": "off"})
    assert given_environment(candidate("", env=env), one) == {"OTHER": "2"}


# Signs


def test_signs_are_the_findings_about_tampering() -> None:
    found = [str(f) for f in findings("import os, ctypes\nos._exit(0)")]
    assert found == ["HR201 import ctypes: line 1", "HR503 os._exit: line 2"]
    assert signs(found) == ["static: immediate_exit (HR503 os._exit: line 2)"]
    assert signs(["what an older version wrote"]) == []


def test_honest_programs_show_no_signs(shared_data: Any) -> None:
    """Neither the canonical solutions of HumanEval nor the buggy ones."""
    for name, field in (
        ("HumanEval.jsonl.gz", None),
        ("humanevalpack_python.jsonl.gz", "buggy_solution"),
    ):
        for sample in open_corpus([shared_data(name)], code_field=field):
            assert isinstance(sample, Sample)
            found = [str(f) for f in check(sample.candidate, Policy())]
            assert signs(found) == [], sample.candidate.task_id
            assert found in ([], ["HR301 eval: line 30"]), sample.candidate.task_id


def test_a_check_takes_less_than_a_millisecond(shared_data: Any) -> None:
    candidates = [s.candidate for s in open_corpus([shared_data("HumanEval.jsonl.gz")])]
    times = []
    for item in candidates:
        began = time.process_time()
        check(item, Policy())
        times.append(time.process_time() - began)
    assert sorted(times)[len(times) // 2] < 0.001


# Whatever a corpus holds


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(exclude_categories=())),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
    st.sampled_from(["off", "warn", "refuse"]),
)
def test_any_text_can_be_checked(
    code: str, dependencies: list[str], env: dict[str, str], mode: Severity
) -> None:
    anything = candidate(code, dependencies=tuple(dependencies), env=env)
    for finding in check(anything, Policy(mode=mode)):
        assert str(finding).isprintable() and str(finding).isascii() and len(str(finding)) < 150


PIECES = [code for _, code in FIRES + QUIET if len(code) < 2000]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=4), st.data())
def test_any_fragment_of_a_program_can_be_checked(pieces: list[str], data: st.DataObject) -> None:
    code = "\n".join(pieces)
    start, end = sorted(data.draw(st.integers(0, len(code))) for _ in range(2))
    check(candidate(code[:start] + code[end:]), Policy())


@pytest.mark.parametrize(
    "code",
    [
        "(" * 100_000,
        "a" + ".a" * 100_000,
        "a" + "[0]" * 80_000,
        "1" + "+1" * 100_000,
        "not " * 60_000 + "1",
        "lambda:" * 30_000 + "1",
        "1" + "<1" * 100_000,
        "9" * 200_000,
        "exec(" + "a.b(" * 60 + ")" * 61,
    ],
)
def test_what_is_nested_absurdly_is_survived(code: str) -> None:
    check(candidate(code), Policy())


# The document


def test_the_document_shows_every_rule() -> None:
    document = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(HR\d+)` \| `(\w+)` \| (.+) \| (\w+) \| (\w+) \| (.*) \|$", document, re.M
    )
    strict = PolicyConfig(mode="refuse")
    assert rows == [
        (
            rule.id,
            rule.name,
            rule.what,
            severity(rule.id, Policy()),
            severity(rule.id, strict),
            "sign" * rule.sign,
        )
        for rule in RULES.values()
    ]
