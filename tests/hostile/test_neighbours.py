"""Executions that run at the same time, in one agent and in two, and after a zygote's death."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import attack_files
import hosts
import pytest

NEIGHBOUR = next(item for item in attack_files.honest() if item.name == "neighbour")
USER = hosts.USER if os.getuid() == 0 else os.getuid()

WORKS = """\
import os, time
with open("mine", "w") as file:
    file.write("mine")
time.sleep(0.6)
assert sorted(os.listdir(".")) == ["mine"], os.listdir(".")
assert open("mine").read() == "mine"
"""
SPIES = """\
import os, signal
for place in (".", "..", "../..", "/tmp", "/dev/shm"):
    for top, _, files in os.walk(place):
        for name in files:
            if name == "mine":
                raise SystemExit("got through: " + os.path.join(top, name))
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
"""
ALL_THREADS = """\
import threading, time
try:
    while True:
        threading.Thread(target=time.sleep, args=(1.5,)).start()
except RuntimeError:
    print("full", flush=True)
"""
HELD = "what-another-candidate-holds"
SEARCHES = """\
import ctypes, gc, os, re
pattern = re.compile(b"what-another-candidate-hold[s]")
libc = ctypes.CDLL(None)
read, write = os.pipe()
for address in (id("here"), id([]), id(bytearray(1 << 21)), id(gc), id(object())):
    first = (address & ~4095) - (16 << 20)
    for start in range(first, first + (32 << 20), 4096):
        if libc.write(write, ctypes.c_void_p(start), 4096) == 4096:
            if pattern.search(os.read(read, 4096)):
                raise SystemExit("got through: memory of another candidate")
"""


def program(code: str, identity: int) -> dict[str, Any]:
    return {
        "op": "run",
        "id": identity,
        "code": code,
        "tests": {"kind": "none"},
        "limits": {"wall_s": 6},
    }


def wait(host: hosts.Host, count: int) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    deadline = time.monotonic() + hosts.ANSWER_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} answers"
        found.update({answer["id"]: answer for answer in host.agent.answers(1.0)})
    return found


@pytest.mark.parametrize(
    ("uid", "namespaces"),
    [(0, True), (USER, True), (USER, False)],
    ids=["local-root", "local-user", "filtered"],
)
def test_slots_of_one_agent_are_apart(uid: int, namespaces: bool) -> None:
    if uid == 0 and os.getuid() != 0:
        pytest.skip("only root can be root")
    with hosts.local("two", uid, namespaces=namespaces, slots=2) as host:
        for turn in range(2):
            host.agent.submit(program(WORKS, 10 * turn + 1))
            time.sleep(0.25)  # it has written its file then, and sleeps
            host.agent.submit(program(SPIES, 10 * turn + 2))
            answers = wait(host, 2)
            for answer in answers.values():
                assert answer["verdict"] == "accepted", (answer["id"], answer["stderr"])


@pytest.mark.parametrize("uid", [0, USER], ids=["local-root", "local-user"])
def test_processes_of_one_agent_dont_count_against_another(uid: int) -> None:
    if uid == 0 and os.getuid() != 0:
        pytest.skip("only root can be root")
    with hosts.local("first", uid) as first, hosts.local("second", uid) as second:
        first.agent.submit(program(ALL_THREADS, 1))
        time.sleep(0.5)
        answer = second.run(NEIGHBOUR.request(0))
        assert answer["verdict"] == "accepted", answer["error_message"]
        assert wait(first, 1)[1]["stdout"]["tail"] == "full\n"


@pytest.mark.parametrize("uid", [0, USER], ids=["local-root", "local-user"])
def test_a_new_zygote_knows_nothing_of_those_before(uid: int) -> None:
    if uid == 0 and os.getuid() != 0:
        pytest.skip("only root can be root")
    with hosts.local("again", uid) as host:
        for number in range(3):
            host.run(program(f"# {HELD}\n" * 50, number))
        (zygote,) = hosts.children(host.pid)
        os.kill(zygote, signal.SIGKILL)
        answer = host.run(program(SEARCHES, 0))
        while answer["verdict"] == "internal_error":  # it was given to the dead one
            answer = host.run(program(SEARCHES, 0))
        assert answer["verdict"] == "accepted", answer["stderr"]
