"""Every runtime: candidates are judged, limited, and kept from the host and from each other."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agents import MIB, assertions, calls, stdio
from subjects import Started, Subject, family

from hpc_runner.sandbox.spec import seen_at

ADD = calls(([1, 2], 3), ([-1, 1], 0), name="add")
KINDS: dict[str, dict[str, Any]] = {
    "accepted": {"code": "def add(a, b): return a + b\n", "tests": ADD},
    "wrong_answer": {"code": "def add(a, b): return a - b\n", "tests": ADD},
    "runtime_error": {"code": "def add(a, b): return a / 0\n", "tests": ADD},
    "compile_error": {"code": "def add(a, b) return a + b\n", "tests": ADD},
    "early_exit": {"code": "import os\nos._exit(0)\n", "tests": ADD},
}


def test_it_starts_and_says_hello(subject: Subject, started: Started) -> None:
    hello = started.agent.hello
    assert hello.slots == 2
    assert hello.isolation in ("limits", "filtered", "full")
    assert hello.python.startswith("3.")
    if subject.image is not None:
        assert hello.python.startswith("3.11.")  # the image's, whatever the host has


def test_500_executions_are_judged_right(started: Started) -> None:
    wanted = [verdict for _ in range(100) for verdict in KINDS]
    requests = [
        {**KINDS[verdict], "code": f"{KINDS[verdict]['code']}# {number}\n"}
        for number, verdict in enumerate(wanted)
    ]
    found = [answer["verdict"] for answer in started.run_all(requests)]
    assert found == wanted
    assert len(found) == 500


def test_50_mb_of_input_arrive(started: Started) -> None:
    """As a case that compares every byte, and one that must be answered with something else."""
    megabytes = 50
    line = "0123456789abcdef" * 64
    stdin = f"{line}\n" * (megabytes * MIB // 1025)
    code = (
        "import hashlib, sys\n"
        "data = sys.stdin.buffer.read()\n"
        "print(len(data), hashlib.sha256(data).hexdigest())\n"
    )
    digest = hashlib.sha256(stdin.encode()).hexdigest()
    answer = started.run(code, stdio((stdin, f"{len(stdin)} {digest}\n")))
    assert answer["verdict"] == "accepted", answer
    # Nobody has to read it.
    answer = started.run("print('no')", stdio((stdin, "no\n")))
    assert answer["verdict"] == "accepted", answer


LIMITED: dict[str, tuple[str, dict[str, Any]]] = {
    "time_limit": ("while True: pass\n", {"wall_s": 0.5}),
    "memory_limit": ("held = bytearray(512 << 20)\n", {}),
    "output_limit": ("while True: print('x' * 10000)\n", {"output_bytes": MIB}),
}


@pytest.mark.parametrize("verdict", LIMITED)
def test_limits_hold(started: Started, verdict: str) -> None:
    code, limits = LIMITED[verdict]
    answer = started.run(code, **({"limits": limits} if limits else {}))
    assert answer["verdict"] == verdict, answer
    assert started.run(**KINDS["accepted"])["verdict"] == "accepted"


def test_too_many_processes_fail(started: Started) -> None:
    if started.level != "full":
        pytest.skip(f"isolation {started.level} doesn't count the processes of one execution")
    code = "import os, time\nfor _ in range(100):\n    if os.fork() == 0: time.sleep(60)\n"
    answer = started.run(code, limits={"processes": 16})
    assert (answer["verdict"], answer["error_type"]) == ("runtime_error", "BlockingIOError")
    assert started.run(**KINDS["accepted"])["verdict"] == "accepted"


def test_a_full_disk_is_the_candidates_own(started: Started) -> None:
    sizes = [100]  # MB
    if started.level == "full":
        sizes += [10] * 10  # together too much; at a lower level only each file is limited
    for megabytes in set(sizes):
        count = sizes.count(megabytes)
        code = (
            f"for n in range({count}):\n"
            f"    with open(f'file{{n}}', 'wb') as file: file.write(bytes({megabytes} << 20))\n"
        )
        answer = started.run(code)
        assert (answer["verdict"], answer["error_type"]) == ("runtime_error", "OSError"), answer
    # The next one finds the whole of its disk.
    code = "open('file', 'wb').write(bytes(40 << 20))\nimport os\nprint(os.listdir())\n"
    answer = started.run(code, stdio(("", "['file']\n")))
    assert answer["verdict"] == "accepted", answer


def test_nothing_of_the_hosts_environment_enters(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "PYTHONPATH", "SLURM_JOB_ID", "HTTP_PROXY", "LD_PRELOAD_X"):
        monkeypatch.setenv(name, "/not-to-be-seen")
    running = subject.start(subject.spec())
    try:
        code = "import os\nprint(dict(os.environ))\n"
        answer = running.run(code)
        assert answer["verdict"] == "accepted", answer
        assert "not-to-be-seen" not in answer["stdout"]["tail"]
        looked_at = 0
        for pid in family(running.name):
            with contextlib.suppress(OSError):
                assert b"not-to-be-seen" not in Path(f"/proc/{pid}/environ").read_bytes()
                looked_at += 1
        assert looked_at
    finally:
        running.agent.close()


def test_what_is_mounted_can_be_read_and_not_written(subject: Subject) -> None:
    spec = subject.spec()
    running = subject.start(spec)
    place = seen_at(spec.mounts[0], spec.image)
    code = f"""
print(open({place!r} + "/given.txt").read())
try:
    open({place!r} + "/new", "w")
except OSError:
    print("refused")
"""
    try:
        answer = running.run(code, stdio(("", "given\nrefused\n")))
    finally:
        running.agent.close()
    assert answer["verdict"] == "accepted", answer


def test_the_isolation_that_is_there_can_be_required(subject: Subject, started: Started) -> None:
    running = subject.start(replace(subject.spec(), require_isolation=started.level))
    assert running.level == started.level
    running.agent.close()


def test_two_agents_do_not_disturb_each_other(subject: Subject) -> None:
    one, other = subject.start(subject.spec()), subject.start(subject.spec())
    try:
        for _ in range(20):
            one.ask(**KINDS["accepted"])
            other.ask(**KINDS["wrong_answer"])
        verdicts = Counter(answer["verdict"] for answer in one.hear_all(20))
        assert verdicts == {"accepted": 20}
        one.ask(code="while True: pass\n")
        one.agent.abort()
        verdicts = Counter(answer["verdict"] for answer in other.hear_all(20))
        assert verdicts == {"wrong_answer": 20}
        assert other.run(**KINDS["accepted"])["verdict"] == "accepted"
    finally:
        one.agent.abort()
        other.agent.close()


def test_modules_of_a_mounted_directory_are_imported(subject: Subject) -> None:
    """As a candidate's dependencies are."""
    spec = subject.spec()
    (spec.mounts[0] / "given_module.py").write_text("answer = 42\n")
    running = subject.start(spec)
    request = {"code": "import given_module\n", "path": [seen_at(spec.mounts[0], spec.image)]}
    try:
        answer = running.run(tests=assertions("assert given_module.answer == 42"), **request)
    finally:
        running.agent.close()
    assert answer["verdict"] == "accepted", answer
