"""Every limit is kept, with its own verdict, whenever and however it is reached."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from agents import MIB, Sandbox, calls, opened, outcomes, without_namespaces

FORK = "import os, time\n"
LIMITS = {"memory_bytes": 100 * MIB, "wall_s": 5.0}


@pytest.fixture(scope="module", params=["namespaces", "none"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    prefix = without_namespaces() if request.param == "none" else []
    with opened(prefix=prefix) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def plain() -> Iterator[Sandbox]:
    with opened(slots=2) as sandbox:
        yield sandbox


def test_wall(sandbox: Sandbox) -> None:
    began = time.monotonic()
    answer = sandbox.run("import time\ntime.sleep(60)", limits={"wall_s": 0.3})
    assert answer["verdict"] == "time_limit"
    assert 0.3 <= answer["wall_s"] < 3
    assert time.monotonic() - began < 5


def test_wall_is_for_each_run_of_a_program(sandbox: Sandbox) -> None:
    cases = {
        "kind": "stdio",
        "cases": [{"stdin": s, "stdout": ""} for s in ("0.2", "0.2", "0.2", "9")],
    }
    answer = sandbox.run("import time\ntime.sleep(float(input()))", cases, limits={"wall_s": 0.5})
    assert outcomes(answer) == ["accepted"] * 3 + ["time_limit"]


CPU = {
    "one": "while True: pass",
    "threads": (
        "import hashlib, threading\ndata = bytes(1 << 24)\n"
        "def work():\n    while True: hashlib.sha256(data)\n"
        "for _ in range(4): threading.Thread(target=work).start()\n"
    ),
    "processes": FORK + "os.fork()\nos.fork()\nwhile True: pass\n",
    "one after another": FORK + "while True:\n    if not os.fork():\n"
    "        end = time.process_time() + .05\n        while time.process_time() < end: pass\n"
    "        os._exit(0)\n    os.wait()\n",
}


@pytest.mark.parametrize("how", CPU)
def test_cpu(sandbox: Sandbox, how: str) -> None:
    answer = sandbox.run(CPU[how], limits={"cpu_s": 0.4, "wall_s": 30})
    assert answer["verdict"] == "time_limit", answer
    assert answer["wall_s"] < 10


def test_waiting_is_not_cpu(sandbox: Sandbox) -> None:
    answer = sandbox.run("import time\ntime.sleep(.5)", limits={"cpu_s": 0.2, "wall_s": 10})
    assert answer["verdict"] == "accepted"


MEMORY = {
    "one": "b = b'm' * (200 << 20)",
    "slowly": "b = []\nwhile True: b.append(b'm' * 100000)",
    "several": (
        FORK + "for _ in range(4):\n    if not os.fork():\n        b = b'm' * (45 << 20)\n"
        "        time.sleep(9)\ntime.sleep(9)\n"
    ),
    "a child": FORK + "if not os.fork():\n    b = b'm' * (200 << 20)\n    os._exit(0)\nos.wait()\n",
    "more than there is": "b = b'm' * (1 << 40)",
}


@pytest.mark.parametrize("how", MEMORY)
def test_memory(sandbox: Sandbox, how: str) -> None:
    answer = sandbox.run(MEMORY[how], limits=LIMITS)
    assert answer["verdict"] == "memory_limit", answer
    assert answer["wall_s"] < 5


def test_memory_that_is_not_used_does_not_count(sandbox: Sandbox) -> None:
    code = "import mmap\nm = mmap.mmap(-1, 2 << 30)\nm[0] = 1"
    assert sandbox.run(code, limits=LIMITS)["verdict"] == "accepted"


def test_memory_below_the_limit_is_given(sandbox: Sandbox) -> None:
    code = "for _ in range(20):\n    b = None\n    b = b'm' * (60 << 20)\n"
    answer = sandbox.run(code, limits=LIMITS)
    assert answer["verdict"] == "accepted", answer


@pytest.mark.parametrize("judge", ["split", "inline"])
def test_the_memory_verdict_does_not_depend_on_timing(plain: Sandbox, judge: str) -> None:
    short = {"code": "def f():\n    len(b'm' * (130 << 20))\n    return 1"}
    caught = {"code": "def f():\n    try: b'm' * (1 << 40)\n    except MemoryError: return 1"}
    common = {"tests": calls(([], 1)), "limits": LIMITS, "judge": judge}
    answers = plain.run_all([{**short, **common}] * 20 + [{**caught, **common}] * 5)
    assert Counter(a["verdict"] for a in answers) == {"memory_limit": 20, "accepted": 5}


OUTPUT = {
    "stdout": "print('o' * 200000)",
    "stderr": "import sys; sys.stderr.write('e' * 200000)",
    "for ever": "while True: print('y')",
    "a child": FORK + "if not os.fork():\n    print('o' * 200000)\n    os._exit(0)\nos.wait()\n",
}


@pytest.mark.parametrize("how", OUTPUT)
def test_output(sandbox: Sandbox, how: str) -> None:
    answer = sandbox.run(OUTPUT[how], limits={"output_bytes": 100_000, "wall_s": 10})
    assert answer["verdict"] == "output_limit", answer
    assert len(answer["stdout"]["tail"]) <= 4096
    exactly = sandbox.run("print('o' * 99999)", limits={"output_bytes": 100_000})
    assert exactly["verdict"] == "accepted"


def test_processes_and_threads(plain: Sandbox) -> None:
    count = (
        "import os, threading, time\nn = 0\ntry:\n    while n < 500:\n        if not os.fork():\n"
        "            time.sleep(9)\n            os._exit(0)\n        n += 1\n"
        "except OSError: pass\nprint(n)\n"
    )
    # The agent's own processes may stand for some of them.
    made = int(plain.run(count, limits={"processes": 20})["stdout"]["tail"])
    assert 15 <= made <= 23
    threads = (
        "import threading, time\nn = 0\ntry:\n    while n < 500:\n"
        "        threading.Thread(target=time.sleep, args=(.3,), daemon=True).start()\n"
        "        n += 1\nexcept RuntimeError: pass\nprint(n)\n"
    )
    made = int(plain.run(threads, limits={"processes": 20})["stdout"]["tail"])
    assert 15 <= made <= 23


def test_file_size(sandbox: Sandbox) -> None:
    code = "with open('f', 'wb') as f: f.write(bytes(3 << 20))"
    assert sandbox.run(code, limits={"file_bytes": 4 * MIB})["verdict"] == "accepted"
    answer = sandbox.run(code, limits={"file_bytes": 2 * MIB})
    assert (answer["verdict"], answer["error_type"]) == ("runtime_error", "OSError")


def test_workspace_size(plain: Sandbox) -> None:
    code = "for n in range(4):\n    with open('f%d' % n, 'wb') as f: f.write(bytes(1 << 20))\n"
    assert plain.run(code, limits={"file_bytes": 8 * MIB})["verdict"] == "accepted"
    if plain.level != "full":
        pytest.skip("only a file system of its own bounds the sum")
    answer = plain.run(code, limits={"file_bytes": 2 * MIB})
    assert (answer["verdict"], answer["error_type"]) == ("runtime_error", "OSError")


def test_open_files(sandbox: Sandbox) -> None:
    code = "import os\nn = 0\ntry:\n    while 1: os.dup(0); n += 1\nexcept OSError: print(n)"
    made = int(sandbox.run(code, limits={"open_files": 32})["stdout"]["tail"])
    assert 20 <= made <= 32


def test_one_limit_does_not_hit_the_next_execution(sandbox: Sandbox) -> None:
    for code, verdict in ((MEMORY["one"], "memory_limit"), (OUTPUT["stdout"], "output_limit")):
        assert sandbox.run(code, limits={**LIMITS, "output_bytes": 99999})["verdict"] == verdict
        after = sandbox.run("print(1)", limits={"wall_s": 9, "memory_bytes": 100 * MIB})
        assert after["verdict"] == "accepted"
        assert after["peak_memory_bytes"] < 60 * MIB
