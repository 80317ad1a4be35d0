"""What an answer holds beside its verdict, and what a program finds around it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from agents import (
    NONE,
    Sandbox,
    assertions,
    calls,
    expected_output,
    opened,
    outcomes,
    stdio,
    unittests,
)

FIVE = assertions(*(f"assert f({n}) != 2" for n in range(5)))
F = "def f(x): return x\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with opened(slots=2) as sandbox:
        yield sandbox


def test_the_hello_says_what_was_got(sandbox: Sandbox) -> None:
    hello = sandbox.agent.hello
    assert hello.slots == 2
    assert hello.isolation in ("limits", "filtered", "full")
    assert {"rlimits", "no_new_privs"} <= set(hello.mechanisms)
    assert hello.python.startswith("3.")
    assert hello.kernel and hello.host and hello.agent


@pytest.mark.parametrize("judge", ["split", "inline"])
def test_outcomes_stop_at_the_first_failure_unless_every(sandbox: Sandbox, judge: str) -> None:
    answer = sandbox.run(F, FIVE, judge=judge)
    assert outcomes(answer) == ["accepted", "accepted", "wrong_answer", "not_run", "not_run"]
    answer = sandbox.run(F, FIVE, judge=judge, every=True)
    assert outcomes(answer) == ["accepted", "accepted", "wrong_answer", "accepted", "accepted"]
    assert answer["verdict"] == "wrong_answer"
    assert [test[0] for test in answer["tests"]] == list("01234")


def test_outcomes_of_a_program_are_per_case(sandbox: Sandbox) -> None:
    tests = stdio(("1", "1"), ("2", "x"), ("3", "3"))
    echo = "print(input())"
    assert outcomes(sandbox.run(echo, tests)) == ["accepted", "wrong_answer", "not_run"]
    every = sandbox.run(echo, tests, every=True)
    assert outcomes(every) == ["accepted", "wrong_answer", "accepted"]


def test_every_does_not_sit_out_every_time_limit(sandbox: Sandbox) -> None:
    tests = stdio(*[("", "")] * 20)
    answer = sandbox.run("while True: pass", tests, every=True, limits={"wall_s": 0.2})
    assert outcomes(answer) == ["time_limit"] + ["not_run"] * 19


def test_unittest_outcomes_have_names(sandbox: Sandbox) -> None:
    tests = unittests(
        "def test_a(self): self.assertEqual(f(1), 1)\n"
        "def test_b(self): self.assertEqual(f(1), 2)\n"
        "def test_c(self):\n"
        "    for n in range(3):\n"
        "        with self.subTest(n): self.assertLess(f(n), 2)\n"
        "@unittest.skip('not now')\n"
        "def test_d(self): self.fail()\n"
        "@unittest.expectedFailure\n"
        "def test_e(self): self.assertEqual(f(1), 1)\n"
    )
    answer = sandbox.run(F, tests, every=True)
    assert {test[0]: test[1] for test in answer["tests"]} == {
        "T.test_a": "accepted",
        "T.test_b": "wrong_answer",
        "T.test_c": "wrong_answer",
        "T.test_d": "accepted",
        "T.test_e": "wrong_answer",
    }


@pytest.mark.parametrize(
    ("code", "exit_code", "signal"),
    [
        ("pass", 0, None),
        ("import sys; sys.exit(5)", 5, None),
        ("import sys; sys.exit('no')", 1, None),
        ("import sys; sys.exit(-1)", 255, None),
        ("import os; os._exit(9)", 9, None),
        ("1/0", 1, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, 9),
        ("import os; os.abort()", None, 6),
        ("import ctypes; ctypes.string_at(0)", None, 11),
    ],
)
@pytest.mark.parametrize("fresh", [False, True])
def test_exit_codes_and_signals(
    sandbox: Sandbox, code: str, exit_code: int | None, signal: int | None, fresh: bool
) -> None:
    answer = sandbox.run(code, fresh=fresh)
    assert (answer["exit_code"], answer["signal"]) == (exit_code, signal), answer
    assert answer["verdict"] == ("accepted" if exit_code == 0 else "runtime_error")
    if signal:
        assert answer["error_type"] == "Signal"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 1_000_000])
def test_tails_are_bounded_and_digests_are_of_the_whole(
    sandbox: Sandbox, stream: str, size: int
) -> None:
    content = bytes(33 + n % 90 for n in range(size))
    code = f"import sys\nsys.{stream}.buffer.write(bytes(33 + n % 90 for n in range({size})))"
    found = sandbox.run(code)[stream]
    assert found["bytes"] == size
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["tail"] == content[-4096:].decode()


def test_a_tail_is_text_whatever_was_printed(sandbox: Sandbox) -> None:
    found = sandbox.run("import os; os.write(1, bytes(range(256)) + 'ż'.encode()[:1])")["stdout"]
    assert found["bytes"] == 257
    assert "\0" not in found["tail"]
    assert found["tail"].startswith("\N{REPLACEMENT CHARACTER}\1\2")
    found["tail"].encode("utf-8")


def test_a_traceback_shows_the_program_and_nothing_of_ours(sandbox: Sandbox) -> None:
    code = "def inner(): raise ValueError('deep')\n\ninner()\n"
    tail = sandbox.run(code)["stderr"]["tail"]
    assert 'File "solution.py", line 3' in tail
    assert "def inner(): raise ValueError('deep')" in tail
    assert "agent" not in tail


@pytest.mark.parametrize("judge", ["split", "inline"])
def test_signatures_are_the_same_from_run_to_run(sandbox: Sandbox, judge: str) -> None:
    code = (
        "import os\nclass C: pass\ndef f(x):\n"
        "    raise LookupError('%r of %s at /tmp/x-%d/y.py, line %d' "
        "% (C(), id(C) and 'it', os.getpid(), os.getpid()))\n"
    )
    answers = sandbox.run_all(
        {"code": code + "#" * n, "tests": calls(([1], 1)), "judge": judge} for n in range(4)
    )
    signatures = {(answer["error_type"], answer["error_message"]) for answer in answers}
    assert signatures == {("LookupError", "<solution.C object at 0x...> of it at PATH, line N")}


def test_messages_are_bounded(sandbox: Sandbox) -> None:
    code = "def f(x): raise ValueError('m' * 10**6)"
    for judge in ("split", "inline"):
        answer = sandbox.run(code, calls(([1], 1)), judge=judge)
        assert len(answer["error_message"]) == 500
        assert len(answer["tests"][0][3]) <= 500
    assert len(sandbox.run("raise ValueError('m' * 10**6)")["error_message"]) == 500


SHOW_ENVIRONMENT = "import os\nfor item in sorted(os.environ.items()): print(*item, sep='=')"


@pytest.mark.parametrize("fresh", [False, True])
def test_the_environment_is_empty_but_for_what_was_given(sandbox: Sandbox, fresh: bool) -> None:
    shown = sandbox.run(SHOW_ENVIRONMENT, fresh=fresh)["stdout"]["tail"].split()
    assert [item for item in shown if not item.startswith("LC_CTYPE=")] == []
    given = {"APP_MODE": "żółw", "EMPTY": ""}
    shown = sandbox.run(SHOW_ENVIRONMENT, env=given, fresh=fresh)["stdout"]["tail"].split()
    assert {"APP_MODE=żółw", "EMPTY="} == {i for i in shown if not i.startswith("LC_CTYPE=")}
    shown = sandbox.run(SHOW_ENVIRONMENT, fresh=fresh)["stdout"]["tail"]
    assert "APP_MODE" not in shown


def test_functions_see_the_environment_too(sandbox: Sandbox) -> None:
    code = "import os\ndef f(): return dict(os.environ)"
    for judge in ("split", "inline"):
        answer = sandbox.run(code, calls(([], {"A": "1"})), env={"A": "1"}, judge=judge)
        assert answer["verdict"] == "accepted"


def test_no_descriptors_but_the_programs_own(sandbox: Sandbox) -> None:
    code = (
        "import os\ndef open_ones():\n    for n in range(3, 256):\n        try: os.fstat(n)\n"
        "        except OSError: continue\n        yield n\nprint(*open_ones())\n"
    )
    # 4 is where a program's own end is reported.
    assert sandbox.run(code)["stdout"]["tail"].split() in ([], ["4"])


def test_stdin_of_50_mb(sandbox: Sandbox) -> None:
    line = "0123456789" * 9 + "abcdefghi\n"
    text = line * 500_000
    code = "import sys\nn = 0\nfor line in sys.stdin: n += len(line)\nprint(n)"
    answer = sandbox.run(code, stdio((text, str(len(text)))))
    assert answer["verdict"] == "accepted", answer


READERS = [
    "import sys; print(sys.stdin.read(), end='')",
    "print(open(0).read(), end='')",
    "import os; print(os.read(0, 1000).decode(), end='')",
    "import fileinput, sys; sys.argv[1:] = ['-']; print(*fileinput.input(), sep='', end='')",
]


@pytest.mark.parametrize("code", READERS)
@pytest.mark.parametrize("fresh", [False, True])
def test_stdin_however_it_is_read(sandbox: Sandbox, code: str, fresh: bool) -> None:
    text = "zażółć\n\n gęślą \t jaźń 🐍\n"
    answer = sandbox.run(code, stdio((text, text), ("", ""), checker="exact"), fresh=fresh)
    assert answer["verdict"] == "accepted", answer


def test_stdin_is_empty_where_tests_give_none(sandbox: Sandbox) -> None:
    assert sandbox.run("print(repr(input()))")["error_type"] == "EOFError"
    answer = sandbox.run("import sys\ndef f(): return sys.stdin.read()", calls(([], "")))
    assert answer["verdict"] == "accepted"


UNICODE = [
    ("print('żółć 🐍 ' + chr(0x10FFFF))", expected_output("żółć 🐍 \U0010ffff\n", "exact")),
    ("zmienna_ż = 1\ndef funkcja_ó(x): return x + zmienna_ż", calls(([1], 2), name="funkcja_ó")),
    ("def f(s): return s[::-1]", calls((["żó🐍\0ł"], "ł\0🐍óż"))),
    ("def f(s): return {s: [s]}", calls((["ключ"], {"ключ": ["ключ"]}))),
    ("def f(): raise ValueError('żółć')", assertions("f()")),
]


@pytest.mark.parametrize(("code", "tests"), UNICODE)
def test_unicode(sandbox: Sandbox, code: str, tests: dict[str, object]) -> None:
    answers = [
        sandbox.run(code, tests, **how) for how in ({}, {"judge": "inline"}, {"fresh": True})
    ]
    if tests["kind"] == "assertions":
        assert {answer["error_message"] for answer in answers} == {"żółć"}
    else:
        assert {answer["verdict"] for answer in answers} == {"accepted"}


def test_half_a_character_in_the_code_does_not_compile(sandbox: Sandbox) -> None:
    for tests in (NONE, calls(([], 1)), stdio(("", ""))):
        for fresh in (False, True):
            answer = sandbox.run("x = '\ud800'\ndef f(): return 1", tests, fresh=fresh)
            assert answer["verdict"] == "compile_error"
            assert answer["error_type"] == "UnicodeEncodeError"
    # Written as an escape it is a string like another one.
    assert sandbox.run("def f(): return '\\ud800'", calls(([], "\ud800")))["verdict"] == "accepted"
    printed = sandbox.run("print('\\ud800')")
    assert (printed["verdict"], printed["error_type"]) == ("runtime_error", "UnicodeEncodeError")


def test_code_that_does_not_compile_in_other_ways(sandbox: Sandbox) -> None:
    deep = "x = " + "(" * 500 + ")" * 500
    for code in ("def", "x = 1\n  y = 2", "\0", "return 1", "a = 0777", deep):
        for tests in (NONE, calls(([], 1))):
            assert sandbox.run(code, tests)["verdict"] == "compile_error", code


SAMPLE = [
    {"code": "def f(x): return x + 1", "tests": calls(([1], 2), ([2], 3))},
    {"code": "def f(x): return x", "tests": calls(([1], 1), ([2], 3))},
    {"code": "def f(x): return x / 0", "tests": assertions("assert f(1) == 1")},
    {"code": "class C: pass\ndef f(): return C()", "tests": assertions("assert f()")},
    {"code": "def f(", "tests": unittests("def test(self): f()")},
    {"code": "import sys; sys.exit()", "tests": assertions("pass")},
    {"code": "print(int(input()) * 2)", "tests": stdio(("2", "4"), ("3", "5"))},
    {"code": "import sys; sys.exit(4)", "tests": NONE},
    {"code": "raise KeyError('k')", "tests": expected_output("")},
]


def test_a_fresh_interpreter_judges_the_same(sandbox: Sandbox) -> None:
    keys = ("verdict", "judge", "judge_reason", "exit_code", "signal", "error_type")
    warm = sandbox.run_all(SAMPLE)
    fresh = sandbox.run_all({**request, "fresh": True} for request in SAMPLE)
    for one, other in zip(warm, fresh, strict=True):
        assert {key: one[key] for key in keys} == {key: other[key] for key in keys}
        assert outcomes(one) == outcomes(other)


def test_times_are_measured(sandbox: Sandbox) -> None:
    answer = sandbox.run("import time\ntime.sleep(.15)")
    assert 0.15 <= answer["wall_s"] < 5
    assert answer["cpu_s"] < 0.1
    busy = "import time\nend = time.process_time() + .15\nwhile time.process_time() < end: pass"
    assert 0.14 <= sandbox.run(busy)["cpu_s"] < 1
    assert sandbox.run("b = b'm' * (60 << 20)")["peak_memory_bytes"] > 60 << 20


def test_what_each_run_wrote_when_it_is_asked_for(sandbox: Sandbox) -> None:
    assert "outputs" not in sandbox.run("print(1)")
    both = "import sys\ntext = input()\nprint(text * 9000)\nprint('no', file=sys.stderr)"
    cases = stdio(("a", "a" * 9000), ("b", "b" * 9000))
    answer = sandbox.run(both, cases, outputs=True)
    assert answer["verdict"] == "accepted"
    assert answer["outputs"] == [["a" * 9000 + "\n", "no\n"], ["b" * 9000 + "\n", "no\n"]]
    told = "print('loaded')\ndef f(x):\n    print('called')\n    return x"
    for judge in ("split", "inline"):
        answer = sandbox.run(told, calls(([1], 1)), judge=judge, outputs=True)
        assert answer["outputs"] == [["loaded\ncalled\n", ""]]
    moved = assertions("import os; print(os.sep)", "assert f(1) == 1")
    answer = sandbox.run(told, moved, outputs=True)  # split first, then in one process
    assert (answer["judge"], answer["outputs"]) == ("inline", [["loaded\n/\ncalled\n", ""]])


def test_what_was_written_is_kept_up_to_its_limit(sandbox: Sandbox) -> None:
    limits = {"output_bytes": 5000}
    answer = sandbox.run("while True: print('x' * 99)", limits=limits, outputs=True)
    assert answer["verdict"] == "output_limit"
    assert [len(text) for text in answer["outputs"][0]] == [5000, 0]
