"""Limits say what a program did, not how busy the machine was."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpc_runner.sandbox.client import Agent

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "oversubscription.py"
MIB = 1 << 20
BUSY = 2
SLOTS = 8


def _benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oversubscription", BENCHMARK)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["oversubscription"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return _benchmark()


@pytest.fixture(scope="module")
def agent(benchmark: ModuleType) -> Iterator[Agent]:
    with benchmark.agent(SLOTS) as opened:
        yield opened


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(benchmark: ModuleType, agent: Agent) -> Run:
    def call(code: str, **limits: Any) -> dict[str, Any]:
        request = {"op": "run", "id": 1, "code": code, "tests": {"kind": "none"}, "limits": limits}
        answer: dict[str, Any] = benchmark.judge(agent, [request])[1]
        return answer

    return call


# --------------------------------------------------------------------- a busy machine


def test_no_verdict_differs_when_four_times_as_many_slots_as_cores_are_busy(
    benchmark: ModuleType, shared_data: Callable[[str], Path]
) -> None:
    requests = [
        *benchmark.close_to_limits(),
        *benchmark.human_eval(shared_data("HumanEval.jsonl.gz")),
    ]
    for quiet, found in benchmark.rounds(requests, 2, SLOTS, BUSY):
        verdicts = {name: answer["verdict"] for name, answer in quiet.items()}
        right = {name: verdict for name, (_, verdict) in benchmark.CLOSE.items()}
        assert verdicts == dict.fromkeys(verdicts, "accepted") | right
        assert found.differing == {}
        assert found.waited_s > 0


def test_the_wall_limit_stretches_with_waiting_which_is_recorded(
    benchmark: ModuleType, agent: Agent
) -> None:
    """Eight programs of 0.3 s on what cores there are can't all end within 0.5 s."""
    code = f"{benchmark.BURN}\nburn(0.3)"
    limits = {"wall_s": 0.5, "cpu_s": 1.0}
    requests = [
        {"op": "run", "id": number, "code": code, "tests": {"kind": "none"}, "limits": limits}
        for number in range(SLOTS)
    ]
    with benchmark.busy_loops(2 * BUSY):
        answers = benchmark.judge(agent, requests).values()
    assert {answer["verdict"] for answer in answers} == {"accepted"}
    slowest = max(answers, key=lambda answer: answer["wall_s"])
    assert slowest["wall_s"] > 0.5
    assert slowest["waited_s"] > slowest["wall_s"] - 0.5
    for answer in answers:
        assert 0.25 < answer["cpu_s"] < 0.9
        assert answer["cpu_s"] + answer["waited_s"] < answer["wall_s"] + 0.2


def test_the_stretch_has_a_bound(benchmark: ModuleType, agent: Agent) -> None:
    """What never ends does so at the CPU limit or at ten times the wall limit."""
    limits = {"wall_s": 0.3, "cpu_s": 60.0}
    code = "while True: pass"
    requests = [
        {"op": "run", "id": number, "code": code, "tests": {"kind": "none"}, "limits": limits}
        for number in range(SLOTS)
    ]
    with benchmark.busy_loops(BUSY):
        answers = benchmark.judge(agent, requests).values()
    for answer in answers:
        assert answer["verdict"] == "time_limit"
        assert answer["wall_s"] < 3.0 + 1.5


def test_a_sleeper_is_not_given_more_time(benchmark: ModuleType, agent: Agent) -> None:
    request = {
        "op": "run",
        "id": 1,
        "code": "import time\ntime.sleep(60)",
        "tests": {"kind": "none"},
        "limits": {"wall_s": 0.5},
    }
    with benchmark.busy_loops(BUSY):
        answer = benchmark.judge(agent, [request])[1]
    assert answer["verdict"] == "time_limit"
    # It waits for a CPU while it starts, which is little; then it needs none.
    assert 0.5 <= answer["wall_s"] < 0.5 + answer["waited_s"] + 0.4


def test_cpu_time_is_not_wall_time(run: Run) -> None:
    asleep = run("import time\ntime.sleep(0.4)", wall_s=2.0, cpu_s=0.3)
    assert asleep["verdict"] == "accepted"
    assert asleep["wall_s"] >= 0.4 > 0.25 > asleep["cpu_s"]
    burning = run("while True: pass", wall_s=30.0, cpu_s=0.3)
    assert burning["verdict"] == "time_limit"
    assert 0.3 <= burning["cpu_s"] < 1.5


def test_the_cpu_time_of_threads_and_children_counts(run: Run) -> None:
    threads = "import threading\nfor _ in range(2): threading.Thread(target=spin).start()"
    children = "import os\nfor _ in range(2): os.fork() or spin()\nos.wait()"
    for start in (threads, children):
        answer = run(f"def spin():\n    while True: pass\n{start}", wall_s=30.0, cpu_s=0.5)
        assert answer["verdict"] == "time_limit"
        assert answer["wall_s"] < 15.0


# ----------------------------------------------------------------------------- memory


def test_address_space_is_not_memory(run: Run) -> None:
    """What Go, Node and numpy do: reserve much and touch little."""
    code = (
        "import mmap\n"
        "flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE\n"
        "space = mmap.mmap(-1, 3 << 30, flags)\n"
        "space[:4096] = b'x' * 4096\n"
        "import time; time.sleep(0.1)\n"
    )
    answer = run(code, memory_bytes=256 * MIB)
    assert answer["verdict"] == "accepted"
    assert answer["peak_memory_bytes"] < 100 * MIB


@pytest.mark.parametrize("hold", ["", "import time; time.sleep(0.2)"], ids=["brief", "held"])
def test_memory_that_is_touched_counts(run: Run, hold: str) -> None:
    answer = run(f"x = bytearray(b'x') * (120 << 20)\n{hold}", memory_bytes=64 * MIB)
    assert answer["verdict"] == "memory_limit"


def test_the_memory_of_the_whole_tree_counts(run: Run) -> None:
    """Five times 30 MiB, none of which would be too much for one."""
    code = (
        "import os, time\n"
        "for _ in range(5):\n"
        "    if os.fork() == 0:\n"
        "        x = bytearray(b'x') * (30 << 20)\n"
        "        time.sleep(5)\n"
        "        os._exit(0)\n"
        "time.sleep(5)\n"
    )
    assert run(code, memory_bytes=100 * MIB, wall_s=20.0)["verdict"] == "memory_limit"


def test_memory_that_is_shared_counts_once(run: Run) -> None:
    code = (
        "import os, time\n"
        "x = bytearray(b'x') * (40 << 20)\n"
        "children = []\n"
        "for _ in range(5):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        time.sleep(0.3)\n"
        "        os._exit(0)\n"
        "    children.append(pid)\n"
        "for pid in children: os.waitpid(pid, 0)\n"
    )
    answer = run(code, memory_bytes=100 * MIB)
    assert answer["verdict"] == "accepted"


# --------------------------------------------------------------------- told apart


@pytest.mark.parametrize(
    ("code", "limits", "verdict", "error"),
    [
        ("open('x', 'wb').write(bytes(3 << 20))", {"file_bytes": MIB}, "runtime_error", "OSError"),
        (
            "for i in range(8): open(str(i), 'wb').write(bytes(1 << 19))",
            {"file_bytes": MIB},
            "runtime_error",
            "OSError",
        ),
        ("print('x' * (3 << 20))", {"output_bytes": MIB}, "output_limit", None),
        ("import os\nwhile True: os.write(2, b'x')", {"output_bytes": 9999}, "output_limit", None),
        ("x = 'x' * (300 << 20)", {"memory_bytes": 64 * MIB}, "memory_limit", None),
        ("import os\nfor _ in range(20): os.fork() or __import__('time').sleep(9)",
         {"processes": 4}, "runtime_error", "BlockingIOError"),
        ("files = [open('/dev/null') for _ in range(100)]", {"open_files": 32}, "runtime_error",
         "OSError"),
        ("while True: pass", {"cpu_s": 0.2}, "time_limit", None),
        ("raise MemoryError", {}, "memory_limit", "MemoryError"),
        ("import os\nos.kill(os.getpid(), 9)", {}, "runtime_error", "Signal"),
    ],
)  # fmt: skip
def test_limits_are_told_apart(
    run: Run, code: str, limits: dict[str, Any], verdict: str, error: str | None
) -> None:
    answer = run(code, **limits)
    assert answer["verdict"] == verdict, answer
    assert error is None or answer["error_type"] == error, answer
