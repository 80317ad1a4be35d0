"""Every kind of tests gives every verdict that it can give, however the program fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agents import (
    MIB,
    NONE,
    Request,
    Sandbox,
    assertions,
    calls,
    expected_output,
    opened,
    outcomes,
    stdio,
    unittests,
)

LIMITS = {"wall_s": 0.4, "memory_bytes": 96 * MIB, "output_bytes": 64 << 10}

BODIES = {
    "accepted": "return x + 1",
    "wrong_answer": "return x - 1",
    "runtime_error": "return x / 0",
    "time_limit": "\n    while True: pass",
    "memory_limit": "return len(b'm' * (256 << 20))",
    "output_limit": "print('o' * (1 << 20)); return x + 1",
    "early_exit": "import sys; sys.exit(0)",
}
FUNCTIONS = {verdict: f"def f(x):\n    {body}\n" for verdict, body in BODIES.items()} | {
    "compile_error": "def f(x) return x\n"
}
JUDGED: dict[str, Request] = {
    "assertions": assertions("assert f(1) == 2", "assert f(2) == 3"),
    "calls": calls(([1], 2), ([2], 3)),
    "unittest": unittests("def test_f(self): self.assertEqual(f(1), 2)"),
}
PROGRAMS: dict[str, Request] = {
    "stdio": stdio(("1\n", "2\n"), ("2\n", "3\n")),
    "expected_output": expected_output("2\n"),
    "none": NONE,
}
NEVER = {("none", "wrong_answer")}
MAIN = "import sys\nx = sys.stdin.read()\nprint(f(int(x or 1)))\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with opened() as sandbox:
        yield sandbox


@pytest.mark.parametrize("judge", ["split", "inline"])
@pytest.mark.parametrize("verdict", FUNCTIONS)
@pytest.mark.parametrize("kind", JUDGED)
def test_functions(sandbox: Sandbox, kind: str, verdict: str, judge: str) -> None:
    answer = sandbox.run(FUNCTIONS[verdict], JUDGED[kind], limits=LIMITS, judge=judge)
    assert (answer["verdict"], answer["judge"]) == (verdict, judge), answer
    if verdict == "accepted":
        assert set(outcomes(answer)) == {"accepted"}
        assert answer["error_type"] is None
    elif verdict != "output_limit":  # which may be noticed a test later
        assert "accepted" not in outcomes(answer)


@pytest.mark.parametrize("verdict", [v for v in FUNCTIONS if v != "early_exit"])
@pytest.mark.parametrize("kind", PROGRAMS)
def test_programs(sandbox: Sandbox, kind: str, verdict: str) -> None:
    if (kind, verdict) in NEVER:
        verdict, code = "accepted", FUNCTIONS["wrong_answer"]
    else:
        code = FUNCTIONS[verdict]
    answer = sandbox.run(code + MAIN, PROGRAMS[kind], limits=LIMITS)
    assert answer["verdict"] == verdict, answer
    assert answer["judge"] == ("exit" if kind == "none" else "output")
    assert answer["tests"][0][1] == verdict


LEAVING = [
    "import sys; sys.exit(0)",
    "import os; os._exit(0)",
    "raise SystemExit",
    "import atexit, os; atexit.register(os._exit, 0); raise SystemExit(0)",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
]


@pytest.mark.parametrize("judge", ["split", "inline"])
@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("where", ["import", "call"])
def test_leaving_before_the_tests_end_is_never_a_pass(
    sandbox: Sandbox, leave: str, where: str, judge: str
) -> None:
    code = f"{leave}\ndef f(x): return x + 1" if where == "import" else f"def f(x):\n    {leave}"
    answer = sandbox.run(code, JUDGED["assertions"], judge=judge)
    killed = "kill" in leave and judge == "inline"
    assert answer["verdict"] == ("runtime_error" if killed else "early_exit")
    assert "accepted" not in outcomes(answer)


@pytest.mark.parametrize(
    ("checker", "wanted", "printed", "same"),
    [
        ("exact", "a\n", "a\n", True),
        ("exact", "a\n", "a", False),
        ("exact", "a", "a\r\n", False),
        ("trimmed", "a\nb", "a  \nb\n\n", True),
        ("trimmed", "a\nb", "a b", False),
        ("trimmed", "a", " a", False),
        ("tokens", "1 2\n3", "1\n2 3", True),
        ("tokens", "1 2", "12", False),
        ("tokens", "1.0", "1", False),
        ("floats", "1.0 2", "1 2.0000001", True),
        ("floats", "1.0", "1.1", False),
        ("floats", "1.0", "1.0 1.0", False),
        ("floats", "nan", "1", False),
        ("floats", "yes", "no", False),
        ("floats", "1", "0x1", False),
        ("floats", "1e3", "1000", True),
        ("exact", "żółć 🐍\n", "żółć 🐍\n", True),
    ],
)
def test_checkers(sandbox: Sandbox, checker: str, wanted: str, printed: str, same: bool) -> None:
    code = f"import sys\nsys.stdout.buffer.write({printed.encode()!r})"
    expected = "accepted" if same else "wrong_answer"
    for tests in (stdio(("", wanted), checker=checker), expected_output(wanted, checker)):
        assert sandbox.run(code, tests)["verdict"] == expected


def test_a_wider_tolerance_is_taken(sandbox: Sandbox) -> None:
    tests = stdio(("", "1.0"), checker="floats", tolerance=0.2)
    assert sandbox.run("print(1.1)", tests)["verdict"] == "accepted"
    assert sandbox.run("print(1.3)", tests)["verdict"] == "wrong_answer"
    near = calls(([], 1.0), tolerance=0.2)
    assert sandbox.run("def f(): return 1.1", near)["verdict"] == "accepted"
    assert sandbox.run("def f(): return 1.3", near)["verdict"] == "wrong_answer"


@pytest.mark.parametrize("judge", ["split", "inline"])
@pytest.mark.parametrize(
    ("expected", "returned", "same"),
    [
        ([1, 2], "(1, 2)", True),
        ([[1], [2]], "[(1,), [2]]", True),
        ({"1": 2}, "{1: 2}", True),
        ({"1": 2}, "{1: 3}", False),
        ({"1": 2}, "{}", False),
        ([1, 2], "[2, 1]", False),
        ([1, 2], "{1, 2}", False),
        (0.3, "0.1 + 0.2", False),
        ("1", "1", False),
        (None, "None", True),
        (None, "0", False),
        ("\ud800", "'\\ud800'", True),
    ],
)
def test_what_calls_return(
    sandbox: Sandbox, expected: object, returned: str, same: bool, judge: str
) -> None:
    answer = sandbox.run(f"def f(): return {returned}", calls(([], expected)), judge=judge)
    assert answer["verdict"] == ("accepted" if same else "wrong_answer")


def test_a_method_of_solution_is_an_entry_point(sandbox: Sandbox) -> None:
    code = "class Solution:\n    def f(self, x): return x + 1\n"
    answer = sandbox.run(code, calls(([1], 2)))
    assert (answer["verdict"], answer["judge"]) == ("accepted", "split")


def test_a_missing_entry_point_is_named(sandbox: Sandbox) -> None:
    answer = sandbox.run("def g(): pass", calls(([1], 2)))
    assert answer["verdict"] == "runtime_error"
    assert answer["error_type"] == "NameError"
    assert "'f'" in answer["error_message"]


def test_a_program_is_main_and_its_function_tests_are_not(sandbox: Sandbox) -> None:
    code = "def f(): return __name__\nif __name__ == '__main__': print('main')\n"
    assert sandbox.run(code, expected_output("main"))["verdict"] == "accepted"
    answer = sandbox.run(code, assertions("assert f() != '__main__'"))
    assert answer["verdict"] == "accepted"
    assert answer["stdout"]["bytes"] == 0


def test_what_runs_at_the_end_of_a_program_counts(sandbox: Sandbox) -> None:
    code = (
        "import atexit, threading, time\natexit.register(print, 'last')\n"
        "threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()\n"
        "print('first')\n"
    )
    answer = sandbox.run(code, expected_output("first\nthread\nlast\n", "exact"))
    assert answer["verdict"] == "accepted", answer


def test_right_output_with_a_bad_exit_is_no_pass(sandbox: Sandbox) -> None:
    for leave, code in (("sys.exit(3)", 3), ("raise ValueError('x')", 1), ("os._exit(7)", 7)):
        program = f"import os, sys\nprint(2, flush=True)\n{leave}"
        answer = sandbox.run(program, expected_output("2"))
        assert (answer["verdict"], answer["exit_code"]) == ("runtime_error", code)
    assert sandbox.run("print(2)\nexit()", expected_output("2"))["verdict"] == "accepted"
