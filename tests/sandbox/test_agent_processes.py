"""Nothing outlives an execution, and nothing that dies takes the agent with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from agents import (
    Request,
    Sandbox,
    alive,
    assertions,
    calls,
    children,
    descendants,
    descriptors,
    opened,
    resident,
    stdio,
    until,
    without_namespaces,
)

SLEEP = "import os, time\n"
LEAVERS = {
    "a child": SLEEP + "if not os.fork(): time.sleep(99)\n",
    "a session": SLEEP + "if not os.fork():\n    os.setsid()\n    time.sleep(99)\n",
    "a daemon": (
        SLEEP + "if not os.fork():\n    os.setsid()\n    if not os.fork():\n"
        "        for n in range(3): os.close(n)\n        time.sleep(99)\n"
        "    os._exit(0)\nos.wait()\n"
    ),
    "one that is deaf": (
        SLEEP + "import signal\nif not os.fork():\n    for n in range(1, 65):\n"
        "        try: signal.signal(n, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n"
        "    time.sleep(99)\ntime.sleep(.05)\n"
    ),
    "a chain": SLEEP + "for _ in range(20):\n    if os.fork(): os._exit(0)\ntime.sleep(99)\n",
    "a thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n",
}


@pytest.fixture(scope="module", params=["namespaces", "none"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    prefix = without_namespaces() if request.param == "none" else []
    with opened(prefix=prefix) as sandbox:
        sandbox.run()
        yield sandbox


@pytest.mark.parametrize("how", LEAVERS)
@pytest.mark.parametrize("kind", ["program", "inline", "split"])
def test_every_descendant_is_dead_when_the_answer_comes(
    sandbox: Sandbox, how: str, kind: str
) -> None:
    [zygote] = [pid for pid in children(sandbox.pid) if alive(pid)]
    if kind == "program":
        sandbox.run(LEAVERS[how], limits={"wall_s": 2})
    else:
        code = LEAVERS[how] + "def f(): return 1\n"
        sandbox.run(code, calls(([], 1)), judge=kind, limits={"wall_s": 2})
    assert descendants(zygote) == []
    assert [pid for pid in children(sandbox.pid) if alive(pid)] == [zygote]


def test_the_workspace_is_empty_and_writable_each_time(sandbox: Sandbox) -> None:
    code = (
        "import os\nassert os.listdir('.') == [], os.listdir('.')\n"
        "os.makedirs('a/b/c')\nopen('a/f', 'w').write('x')\nos.symlink('/', 'l')\n"
        "os.mkdir('locked')\nopen('locked/f', 'w').close()\nos.chmod('locked', 0)\n"
    )
    for _ in range(3):
        answer = sandbox.run(code)
        assert answer["verdict"] == "accepted", answer["stderr"]["tail"]


def test_temporary_files_work_and_do_not_stay(sandbox: Sandbox) -> None:
    code = (
        "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n"
        "    open(d + '/f', 'w').close()\n    here = os.path.dirname(d)\n"
        "assert 'left' not in os.listdir(here)\nopen(here + '/left', 'w').close()\n"
    )
    for _ in range(2):
        answer = sandbox.run(code)
        assert answer["verdict"] == "accepted", answer["stderr"]["tail"]


@pytest.mark.parametrize("busy", [False, True])
def test_killing_the_agent_leaves_no_process(busy: bool) -> None:
    for prefix in ([], without_namespaces()):
        sandbox = Sandbox(prefix=prefix)
        few = len(descendants(sandbox.pid))
        if busy:
            sandbox.ask(code=LEAVERS["a session"] + "time.sleep(99)")
            until(lambda: len(descendants(sandbox.pid)) >= few + 2)  # noqa: B023
        family = [pid for pid in descendants(sandbox.pid) if alive(pid)]
        assert family
        os.kill(sandbox.pid, signal.SIGKILL)
        until(lambda: not any(map(alive, family)))  # noqa: B023
        sandbox.agent.abort()


def test_closing_stdin_ends_the_agent_and_its_files(tmp_path: Path) -> None:
    with opened(TMPDIR=str(tmp_path)) as sandbox:
        family = descendants(sandbox.pid)
        sandbox.ask(code=SLEEP + "time.sleep(99)")
    assert not any(map(alive, family))
    assert list(tmp_path.iterdir()) == []


def test_terminating_the_agent_ends_it_cleanly(tmp_path: Path) -> None:
    with opened(TMPDIR=str(tmp_path)) as sandbox:
        family = descendants(sandbox.pid)
        os.kill(sandbox.pid, signal.SIGTERM)
        until(lambda: not alive(sandbox.pid))
        assert not any(map(alive, family))
        assert list(tmp_path.iterdir()) == []


def test_two_agents_at_once() -> None:
    request = {"code": "def f(x): return x + 1", "tests": calls(([1], 2))}
    with opened(slots=2) as one, opened(slots=2) as other:
        for _ in range(10):
            for sandbox in (one, other):
                for _ in range(4):
                    sandbox.ask(**request)
            for sandbox in (one, other):
                answers = sandbox.hear_all(4)
                assert {answer["verdict"] for answer in answers} == {"accepted"}


def test_slots_work_side_by_side() -> None:
    with opened(slots=3) as sandbox:
        answers = sandbox.run_all([{"code": "import time\ntime.sleep(.5)"}] * 3)
        began = [answer["started_at"] for answer in answers]
        assert max(began) - min(began) < 0.5


@pytest.mark.parametrize("prefix", [[], without_namespaces()], ids=["namespaces", "none"])
def test_a_slot_whose_zygote_died_goes_on(prefix: list[str]) -> None:
    with opened(prefix=prefix) as sandbox:

        def zygotes() -> list[int]:
            return [pid for pid in children(sandbox.pid) if alive(pid)]

        sandbox.run()
        for busy in (True, False, True):
            [victim] = zygotes()
            identity = sandbox.ask(code=LEAVERS["a session"] + "time.sleep(99)") if busy else 0
            until(lambda: not busy or len(descendants(victim)) >= 2)  # noqa: B023
            family = descendants(victim)
            os.kill(victim, signal.SIGKILL)
            if busy:
                answer = sandbox.hear()
                assert (answer["id"], answer["verdict"]) == (identity, "internal_error")
                assert "zygote" in answer["error_message"]
            until(lambda: len(zygotes()) == 1 and zygotes() != [victim])  # noqa: B023
            assert not any(map(alive, family))
            answers = sandbox.run_all([{"code": "print(1)"}] * 4)
            assert {answer["verdict"] for answer in answers} == {"accepted"}


BROKEN = [
    b"no JSON at all\n",
    b"{\n",
    b"[1, 2]\n",
    b"null\n",
    b'"run"\n',
    b"\xff\xfe\n",
    b"\n",
    b"[" * 100_000 + b"\n",
    b'{"op": "walk"}\n',
    b'{"op": "run", "id": 7, "code": ""}\n',
    b'{"op": "run", "id": 7, "code": "", "tests": 3}\n',
    b'{"op": "run", "id": 7, "code": "", "tests": {"kind": "horoscope"}}\n',
    b'{"op": "run", "id": 7, "code": "", "tests": {"kind": "stdio"}}\n',
    b'{"op": "run", "id": 7, "code": "", "tests": {"kind": "none"}, "limits": 3}\n',
]


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: line[:60].decode("latin-1").strip())
def test_what_is_no_request_is_refused_and_the_agent_lives(sandbox: Sandbox, line: bytes) -> None:
    sandbox.agent._unsent += line
    sandbox.agent._send()
    answer = sandbox.hear()
    assert answer["op"] == "refused"
    assert answer["reason"]
    assert answer["id"] == (7 if b'"id"' in line else None)
    assert sandbox.run("print(1)")["verdict"] == "accepted"


def test_requests_may_come_in_pieces_and_in_heaps(sandbox: Sandbox) -> None:
    for n in range(300):
        sandbox.ask(code=f"print({n})")
    assert [a["stdout"]["tail"] for a in sandbox.hear_all(300)] == [f"{n}\n" for n in range(300)]


def test_thousands_of_executions_cost_nothing_that_stays() -> None:
    mixed: list[Request] = [
        {"code": "print(1)"},
        {"code": "def f(x): return x", "tests": calls(([1], 1))},
        {"code": "def f(x): return x", "tests": assertions("assert f(1)"), "judge": "inline"},
        {"code": "class C: pass\ndef f(): return C()", "tests": assertions("assert f()")},
        {"code": "print(input())", "tests": stdio(("1", "1"))},
        {"code": "def f(x): return 1 / 0", "tests": calls(([1], 1))},
        {"code": "def f(", "tests": calls(([1], 1))},
        {"code": "import os\nif not os.fork(): os.setsid()", "tests": stdio(("", ""))},
    ]

    def seen(sandbox: Sandbox) -> list[tuple[int, int]]:
        family = [sandbox.pid, *(pid for pid in children(sandbox.pid) if alive(pid))]
        return [(descriptors(pid), resident(pid)) for pid in family]

    with opened(slots=2) as sandbox:
        sandbox.run_all(mixed * 25)
        before = seen(sandbox)
        for _ in range(9):
            sandbox.run_all(mixed * 25)
        after = seen(sandbox)
    assert [count for count, _ in after] == [count for count, _ in before]
    for (_, then), (_, now) in zip(before, after, strict=True):
        assert now - then < 1 << 20
