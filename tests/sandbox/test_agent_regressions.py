"""What once went wrong: a verdict that another process, round or judge would not have given,
and programs that brought down the agent.  Each test is the smallest that showed it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from agents import (
    MIB,
    NONE,
    Request,
    Sandbox,
    assertions,
    calls,
    opened,
    outcomes,
    stdio,
    unittests,
    without_namespaces,
)

from hpc_runner.sandbox.spec import AGENT


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with opened(slots=2) as sandbox:
        yield sandbox


RAISES = (
    "class E(Exception):\n    def __init__(self, c):\n        super().__init__(c)\n"
    "        self.c = c\ndef f(): raise E(3)\n"
)

SAME = {
    "a global that calls change": (
        "n = 0\ndef f():\n    global n\n    n += 1",
        "f()\nassert n == 1",
    ),
    "a global list": ("L = []\ndef f(x): L.append(x)", "f(1)\nassert L == [1]"),
    "a named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
        "assert f() == (1, 2) and f().x == 1",
    ),
    "the same object back": ("def f(l): return l", "a = [2, 1]\nassert f(a) is a"),
    "a change of a keyword": ("def f(l): l.append(1)", "a = []\nf(l=a)\nassert a == [1]"),
    "a change inside a tuple": ("def f(t): t[0].append(1)", "a = []\nf((a,))\nassert a == [1]"),
    "a number of many digits": (
        "import math\ndef f(n): return math.factorial(n)",
        "import math\nassert f(2000) == math.factorial(2000)",
    ),
    "its own exception": (RAISES, "try: f()\nexcept E: pass\nelse: assert 0"),
    "what an exception holds": (RAISES, "try: f()\nexcept Exception as e: assert e.c == 3"),
    "a function back": ("def f(): return lambda: 1", "assert f()() == 1"),
    "an object's length": (
        "class C:\n    def __len__(self): return 3\n    def __eq__(self, o): return self is o\n"
        "def f(): return C()",
        "assert len(f()) == 3",
    ),
    "an object's text": (
        "class C:\n    def __str__(self): return 'c'\n    def __eq__(self, o): return self is o\n"
        "def f(): return C()",
        "assert str(f()) == 'c'",
    ),
    "an object that is false": (
        "class C:\n    def __len__(self): return 0\ndef f(): return C()",
        "assert not f()",
    ),
    "a docstring": ("def f():\n    'doc'", "assert f.__doc__ == 'doc'"),
    "a constant of a class of the library": (
        "from decimal import Decimal\nC = Decimal('1.5')\ndef f(): return 1",
        "assert C + 1 == 2.5 and f() == 1",
    ),
}


@pytest.mark.parametrize("what", SAME)
def test_right_programs_are_right_for_both_judges(sandbox: Sandbox, what: str) -> None:
    code, test = SAME[what]
    found = {}
    for judge in ("auto", "inline"):
        answer = sandbox.run(code, assertions(test), judge=judge)
        found[judge] = answer["verdict"], answer["error_type"]
    assert found == {"auto": ("accepted", None), "inline": ("accepted", None)}


def test_an_exception_of_its_own_in_unittest(sandbox: Sandbox) -> None:
    tests = unittests("def test(self):\n    with self.assertRaises(E): f()")
    assert sandbox.run(RAISES, tests)["verdict"] == "accepted"


@pytest.mark.parametrize("judge", ["auto", "inline"])
@pytest.mark.parametrize(
    "name", ["T = 1", "T = None", "import unittest\nclass T(unittest.TestCase): pass"]
)
def test_a_program_cannot_take_the_name_of_its_tests(
    sandbox: Sandbox, name: str, judge: str
) -> None:
    tests = unittests("def test(self): self.assertEqual(f(), 1)")
    answer = sandbox.run(f"{name}\ndef f(): return 0", tests, judge=judge)
    assert answer["verdict"] == "wrong_answer"


@pytest.mark.parametrize("judge", ["auto", "inline"])
def test_no_tests_are_no_pass(sandbox: Sandbox, judge: str) -> None:
    tests = {"kind": "unittest", "code": "import unittest\nclass T(unittest.TestCase): pass"}
    assert sandbox.run("def f(): pass", tests, judge=judge)["verdict"] != "accepted"


def test_tests_that_need_one_process_find_it_however_busy_the_machine_is() -> None:
    test = assertions("import random\nrandom.seed(1)\na = f()\nrandom.seed(1)\nassert f() == a")
    code = "import random\ndef f(): return random.random()"
    with opened(slots=4) as sandbox:
        answers = sandbox.run_all([{"code": code, "tests": test}] * 200)
    assert Counter(answer["verdict"] for answer in answers) == {"accepted": 200}


def test_output_is_of_the_run_that_was_judged(sandbox: Sandbox) -> None:
    code, tests = "print('x')\ndef f(g): return g(1)", assertions("assert f(abs) == 1")
    auto = sandbox.run(code, tests)
    assert auto["judge_reason"]
    inline = sandbox.run(code, tests, judge="inline")
    assert auto["stdout"] == inline["stdout"]
    assert auto["stdout"]["bytes"] == 2


def test_a_case_is_not_blamed_for_the_one_before(sandbox: Sandbox) -> None:
    code = (
        "x = input()\nif x == 'big': len(b'm' * (200 << 20))\n"
        "if x == 'bad': raise ValueError('bad')\nprint(x)\n"
    )
    tests = stdio(("big", "big"), ("a", "a"))
    answer = sandbox.run(code, tests, every=True, limits={"memory_bytes": 100 * MIB})
    assert outcomes(answer) == ["memory_limit", "accepted"]
    answer = sandbox.run(code, stdio(("bad", ""), ("a", "b")), every=True)
    assert [test[3] for test in answer["tests"]] == ["ValueError: bad", ""]
    answer = sandbox.run(code, stdio(("a", "b"), ("bad", "")), every=True)
    assert (answer["verdict"], answer["error_type"]) == ("wrong_answer", None)


@pytest.mark.parametrize("fresh", [False, True])
def test_sigterm_means_what_it_means_elsewhere(sandbox: Sandbox, fresh: bool) -> None:
    answer = sandbox.run("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", fresh=fresh)
    assert (answer["verdict"], answer["signal"]) == ("runtime_error", 15)
    code = (
        "import multiprocessing, time\np = multiprocessing.get_context('fork').Process("
        "target=time.sleep, args=(9,))\np.start()\np.terminate()\np.join()\nprint(p.exitcode)\n"
    )
    assert sandbox.run(code, fresh=fresh)["stdout"]["tail"] == "-15\n"


LINES = [
    '{"nonce": []}', '{"nonce": {}}', "[]", "null", "1", '"x"', "[" * 10000, '{"nonce": "\\ud800"}',
]  # fmt: skip


@pytest.mark.parametrize("tests", [NONE, stdio(("", "")), assertions("pass")])
def test_lines_that_a_program_writes_where_reports_go(sandbox: Sandbox, tests: Request) -> None:
    code = (
        f"import os\nfor line in {LINES!r}: os.write(4, line.encode('utf-8', 'replace') + b'\\n')"
    )
    answer = sandbox.run(code, tests, judge="inline")
    assert answer["verdict"] == "accepted"
    assert sandbox.run("print(1)")["verdict"] == "accepted"


ODD_REQUESTS: list[Request] = [
    {"tests": stdio(("", "\ud800"), checker="exact")},
    {"tests": stdio(("\ud800", ""))},
    {"tests": calls(([], float("nan")))},
    {"code": 5},
]
BAD_REQUESTS: list[Request] = [
    {"tests": {"kind": "assertions"}},
    {"tests": {"kind": "calls", "entry_point": "f"}},
    {"tests": {"kind": "assertions", "code": 3, "cases": [4]}},
    {"tests": {"kind": "unittest"}},
    {"tests": {"kind": "expected_output", "stdout": 3}},
    {"tests": stdio()},
    {"limits": {"wall_s": "x"}},
    {"limits": {"memory_bytes": None}},
    {"env": {"A": "x\0y"}},
    {"env": {"A": "\ud800"}},
    {"env": {"A=B": "c"}},
    {"env": 3},
]


def short(request: Request) -> str:
    return ascii(request)[:60]


@pytest.mark.parametrize("odd", ODD_REQUESTS, ids=short)
def test_odd_requests_are_judged_or_refused(odd: Request) -> None:
    with opened() as sandbox:
        sandbox.ask(**odd)
        answer = sandbox.hear()
        assert answer["op"] == "refused" or answer["verdict"] != "internal_error", answer
        assert sandbox.run("print(1)")["verdict"] == "accepted"


@pytest.mark.parametrize("bad", BAD_REQUESTS, ids=short)
def test_bad_requests_are_refused(bad: Request) -> None:
    with opened() as sandbox:
        identity = sandbox.ask(**bad)
        answer = sandbox.hear()
        assert (answer["op"], answer["id"]) == ("refused", identity)
        assert sandbox.run("print(1)")["verdict"] == "accepted"


def test_two_agents_do_not_share_a_limit() -> None:
    hold = "import os, time\nfor _ in range(55):\n    if not os.fork():\n        time.sleep(9)\n"
    hold += "print('held', flush=True)\ntime.sleep(9)\n"
    few = "import os\nfor _ in range(20):\n    if not os.fork(): os._exit(0)\n"
    with opened() as one, opened() as other:
        one.ask(code=hold, limits={"wall_s": 1.5, "processes": 64})
        answers = [other.run(few, limits={"processes": 64}) for _ in range(20)]
        assert {answer["verdict"] for answer in answers} == {"accepted"}
        assert one.hear()["verdict"] == "time_limit"


def test_memory_that_processes_share_counts_once() -> None:
    code = "import os, time\nb = b'm' * (50 << 20)\nfor _ in range(6):\n    if not os.fork():\n"
    code += "        time.sleep(.1)\n        os._exit(0)\nfor _ in range(6): os.wait()\n"
    for prefix in ([], without_namespaces()):
        with opened(prefix=prefix) as sandbox:
            answers = [sandbox.run(code, limits={"memory_bytes": 100 * MIB}) for _ in range(6)]
        assert Counter(answer["verdict"] for answer in answers) == {"accepted": 6}


@pytest.mark.parametrize("prefix", [[], without_namespaces()], ids=["namespaces", "none"])
@pytest.mark.parametrize("fresh", [False, True])
def test_dev_stdin(prefix: list[str], fresh: bool) -> None:
    with opened(prefix=prefix) as sandbox:
        for _ in range(2):
            code = "print(open('/dev/stdin').read(), end='')"
            answer = sandbox.run(code, stdio(("żółw\n", "żółw"), ("", "")), fresh=fresh)
            assert answer["verdict"] == "accepted", answer


def test_slots_without_namespaces_have_workspaces_of_their_own() -> None:
    code = "import os, time\nassert os.listdir('.') == []\nopen('f', 'w').close()\ntime.sleep(.05)"
    with opened(slots=2, prefix=without_namespaces()) as sandbox:
        answers = sandbox.run_all([{"code": code}] * 10)
    assert Counter(answer["verdict"] for answer in answers) == {"accepted": 10}


def test_files_beside_the_workspace_harm_nobody() -> None:
    code = "try: open('../planted', 'w').close()\nexcept OSError: pass"
    with opened(prefix=without_namespaces()) as sandbox:
        for _ in range(3):
            assert sandbox.run(code)["verdict"] == "accepted"


def test_without_namespaces_the_hosts_files_keep_their_modes() -> None:
    top = Path(
        tempfile.mkdtemp(prefix="agents-of-tests-", dir="/opt" if os.access("/opt", 2) else None)
    )
    try:
        victim = top / "victim"
        victim.write_text("x")
        victim.chmod(0o644)
        before = victim.stat()
        code = "import os\n"
        for change in (
            "chmod(v, 0o4777)",
            "chown(v, 5, 5)",
            "utime(v, (1, 1))",
            "setxattr(v, 'user.a', b'b')",
        ):
            code += f"v = {str(victim)!r}\ntry: os.{change}\nexcept OSError: pass\n"
        code += f"try: os.chmod({str(top)!r}, 0)\nexcept OSError: pass\n"
        with opened(prefix=without_namespaces()) as sandbox:
            sandbox.run(code)
        after = victim.stat()
        assert (after.st_mode, after.st_uid, after.st_mtime) == (
            before.st_mode,
            before.st_uid,
            before.st_mtime,
        )
        assert not os.listxattr(victim)
        assert top.stat().st_mode & 0o777 == 0o700
    finally:
        top.chmod(0o700)
        shutil.rmtree(top)


def test_without_namespaces_a_program_of_root_has_no_capabilities() -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user has none to lose")
    code = (
        "import ctypes\nh = (ctypes.c_uint32 * 2)(0x20080522, 0)\nd = (ctypes.c_uint32 * 6)()\n"
        "assert ctypes.CDLL(None).capget(h, d) == 0\nprint(d[0] | d[3])\n"
    )
    with opened(prefix=without_namespaces()) as sandbox:
        assert sandbox.run(code)["stdout"]["tail"] == "0\n"


@pytest.mark.parametrize("tests", [NONE, stdio(("", "")), assertions("pass")])
def test_a_program_cannot_ask_to_be_run_again(sandbox: Sandbox, tests: Request) -> None:
    code = (
        "import json, os, sys\nframe, nonce = sys._getframe(), None\n"
        "while frame is not None:\n"
        "    for item in list(frame.f_locals.values()):\n"
        "        nonce = nonce or getattr(item, '_nonce', None)\n"
        "    frame = frame.f_back\n"
        "line = json.dumps({'inline': 'once more', 'nonce': nonce})\n"
        "os.write(4, line.encode() + b'\\n')\n"
    )
    judge = "inline" if tests["kind"] == "assertions" else "auto"
    assert sandbox.run(code, tests, judge=judge)["verdict"] == "accepted"


@pytest.mark.parametrize("fresh", [False, True])
def test_where_the_agent_lies_is_nothing_to_a_candidate(fresh: bool) -> None:
    """Below /tmp, it made /tmp a directory that nobody could write to."""
    code = (
        "import os, tempfile\n"
        "assert tempfile.gettempdir() == '/tmp' and os.listdir('/tmp') == []\n"
        "with open('/tmp/x', 'w') as file: file.write('x')\n"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        Path(top).chmod(0o755)
        program = Path(shutil.copy(AGENT, top))
        program.chmod(0o644)
        with opened(program=program) as sandbox:
            if sandbox.level != "full":
                pytest.skip("candidates see the host's files here")
            answer = sandbox.run(code, fresh=fresh)
    assert answer["verdict"] == "accepted", answer
