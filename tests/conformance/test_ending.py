"""Every runtime: however an agent ends, its end is noticed and nothing of it is left."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agents import alive, until
from subjects import Started, Subject, agent_pid, family

from hpc_runner.errors import RuntimeFailure
from hpc_runner.sandbox.agent import PROTOCOL

KILLED_WITHIN_S = 2.0
TRIES = 5
"""A busy machine is given some: the fastest one counts."""

STUCK = f"""
import json, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
hello = dict(op="hello", protocol={PROTOCOL}, agent="0", python="3", kernel="", host="", slots=1)
print(json.dumps(dict(hello, isolation="limits", mechanisms=[], missing={{}})), flush=True)
while True:
    time.sleep(600)
"""
LONG = {"code": "import time\ntime.sleep(600)\n", "limits": {"wall_s": 600}}


def _gone(subject: Subject, name: str, pids: list[int]) -> bool:
    return not (any(map(alive, pids)) or family(name) or subject.left(name))


def _mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


@pytest.fixture
def stuck(subject: Subject) -> Path:
    """The file of an agent that says hello and then neither reads nor ends when asked to."""
    file = subject.scratch / "stuck.py"
    file.write_text(STUCK)
    file.chmod(0o644)
    return file


def _fastest(subject: Subject, start: Callable[[], Started]) -> float:
    """Seconds from the call that ends it by force until no process of it runs any more."""
    took: list[float] = []
    while len(took) < TRIES and min(took, default=math.inf) > KILLED_WITHIN_S:
        running = start()
        pids = family(running.name)
        aborting = threading.Thread(target=running.agent.abort)
        began = time.monotonic()
        aborting.start()
        until(lambda pids=pids: not any(map(alive, pids)))
        took.append(time.monotonic() - began)
        aborting.join()
        until(lambda name=running.name: _gone(subject, name, []))
    return min(took)


def test_an_agent_that_reads_nothing_is_killed_in_time(subject: Subject, stuck: Path) -> None:
    def start() -> Started:
        running = subject.start(subject.spec(), agent=stuck)
        for _ in range(4):
            running.ask(code="x" * (1 << 20))
        return running

    assert _fastest(subject, start) < KILLED_WITHIN_S


def test_a_stopped_agent_is_killed_in_time(subject: Subject) -> None:
    def start() -> Started:
        running = subject.start(subject.spec())
        running.ask(**LONG)
        pid = agent_pid(running.name)
        try:
            os.kill(pid, signal.SIGSTOP)
        except PermissionError:
            running.agent.abort()
            pytest.skip("this user can't signal the agent")
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        return running

    assert _fastest(subject, start) < KILLED_WITHIN_S


def test_a_container_that_is_killed_gives_no_verdict(subject: Subject) -> None:
    running = subject.start(subject.spec())
    running.ask(**LONG)
    pids = family(running.name)
    try:
        os.kill(agent_pid(running.name), signal.SIGKILL)
    except PermissionError:
        running.agent.abort()
        pytest.skip("this user can't signal the agent")
    with pytest.raises(RuntimeFailure, match="died"):
        running.hear()
    running.agent.abort()
    until(lambda: _gone(subject, running.name, pids))


def test_nothing_is_left_when_it_is_closed(subject: Subject) -> None:
    before = _mounts()
    running = subject.start(subject.spec())
    assert running.run("x = 1")["verdict"] == "accepted"
    pids, mounted = family(running.name), _mounts() - before
    assert pids
    began = time.monotonic()
    running.agent.close()
    assert time.monotonic() - began < 10
    until(lambda: _gone(subject, running.name, pids))
    if os.environ.get("CI") == "true":  # elsewhere others mount as well
        until(lambda: not mounted & _mounts())


@pytest.mark.parametrize("how", ["closed", "client killed", "starter killed"])
def test_nothing_is_left_of_what_still_ran(subject: Subject, how: str) -> None:
    if how == "starter killed":
        _kill_a_starter(subject)
        return
    running = subject.start(subject.spec())
    running.ask(**LONG)
    assert running.agent.answers(0.2) == []
    pids = family(running.name)
    if how == "client killed":
        try:
            running.agent._process.kill()
        except PermissionError:
            pytest.skip("this user can't kill the client, as it should be with Sarus")
        finally:
            running.agent.abort()
    else:
        running.agent.close()
    until(lambda: _gone(subject, running.name, pids))


def _kill_a_starter(subject: Subject) -> None:
    """As the kernel does when memory runs out: it can clean nothing up."""
    runtime, spec = subject.runtime, subject.spec()
    given = {"argv": runtime.command(spec), "env": runtime.environment()}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("starter.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdin and starter.stdout
        starter.stdin.write(json.dumps(given))
        starter.stdin.close()
        assert starter.stdout.readline() == "up\n"
        pids = family(spec.name)
        assert agent_pid(spec.name) in pids
        starter.kill()
    until(lambda: _gone(subject, spec.name, pids))
