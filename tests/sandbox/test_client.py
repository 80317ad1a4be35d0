"""The worker's end of an agent: it starts, is asked, dies; each with a message that helps."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from agents import Sandbox, alive, until

from hpc_runner.errors import IsolationError, RuntimeFailure
from hpc_runner.sandbox.client import Agent, probe
from hpc_runner.sandbox.local import LocalRuntime, base_interpreter
from hpc_runner.sandbox.spec import AGENT

ENVIRONMENT = LocalRuntime().environment()
HELLO = (
    '{"op": "hello", "agent": "1", "protocol": 1, "python": "3", "kernel": "k", "host": "h",'
    ' "slots": 1, "isolation": "full", "mechanisms": [], "missing": {}}'
)


def program(tmp_path: Path, code: str) -> list[str]:
    """A fake agent that does what ``code`` says."""
    path = tmp_path / "agent.py"
    path.write_text(f"import sys, time, os\nHELLO = {HELLO!r}\n{code}\n")
    return [sys.executable, str(path)]


def failure(argv: list[str], start_s: float = 30.0) -> str:
    with pytest.raises(RuntimeFailure) as caught:
        Agent(argv, ENVIRONMENT, start_s=start_s)
    return str(caught.value)


def test_a_program_that_is_not_there() -> None:
    assert failure(["/no/such/docker", "run"]) == (
        "can't start /no/such/docker: No such file or directory"
    )


def test_a_program_that_may_not_be_started(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("")
    assert "Permission denied" in failure([str(tmp_path / "agent")])


@pytest.mark.parametrize("said", ["Welcome to docker!", "{", "\\x00\\xff"])
def test_a_program_that_says_something_else(tmp_path: Path, said: str) -> None:
    argv = program(tmp_path, f"print('{said}', flush=True)\ntime.sleep(60)")
    assert "no JSON" in failure(argv)


def test_an_agent_of_another_protocol(tmp_path: Path) -> None:
    argv = program(tmp_path, 'print(\'{"op": "hello", "protocol": 99}\', flush=True)')
    message = failure(argv)
    assert "protocol 1" in message and "99" in message


def test_a_program_that_dies_at_once_is_quoted(tmp_path: Path) -> None:
    argv = program(tmp_path, "sys.exit('no space left on /dev/sda')")
    message = failure(argv)
    assert "exit status 1" in message
    assert message.endswith("its last words: no space left on /dev/sda")


def test_of_long_last_words_the_end_is_kept(tmp_path: Path) -> None:
    argv = program(tmp_path, "sys.exit('x' * 10**6 + 'the end')")
    message = failure(argv)
    assert message.endswith("the end") and len(message) < 1200


def test_a_program_that_never_says_hello_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
    code += "sys.stderr.write('pulling image'); sys.stderr.flush()\ntime.sleep(60)"
    began = time.monotonic()
    message = failure(program(tmp_path, code), start_s=1.0)
    assert time.monotonic() - began < 10
    assert "said nothing for 1 s" in message and "pulling image" in message
    assert not alive(int(pid.read_text()))


def test_less_isolation_than_required_names_what_is_missing(tmp_path: Path) -> None:
    hello = HELLO.replace('"missing": {}', '"missing": {"landlock": "the kernel has none"}')
    code = f'print({hello[:-1]!r} + \', "error": "full is required"}}\')\nsys.exit(3)'
    with pytest.raises(IsolationError, match=r"full is required \(landlock: the kernel has none"):
        Agent(program(tmp_path, code), ENVIRONMENT)


def test_probe_says_hello_and_leaves_nothing() -> None:
    hello = probe([base_interpreter(), "-I", "-B", str(AGENT), "--slots", "2"], ENVIRONMENT)
    assert hello.slots == 2 and hello.isolation in ("limits", "filtered", "full")


def test_an_agent_that_dies_at_work_is_quoted(tmp_path: Path) -> None:
    code = (
        "print(HELLO, flush=True)\nsys.stdin.readline()\nsys.exit('out of memory, said the node')"
    )
    agent = Agent(program(tmp_path, code), ENVIRONMENT)
    agent.submit({"op": "run"})
    with pytest.raises(RuntimeFailure, match=r"exit status 1.*out of memory, said the node"):
        agent.answers(30)
    assert agent.dead
    agent.close()


def test_a_real_agent_killed_in_the_middle() -> None:
    sandbox = Sandbox()
    sandbox.ask(code="import time; time.sleep(99)")
    os.kill(sandbox.pid, signal.SIGKILL)
    with pytest.raises(RuntimeFailure, match="exit status -9"):
        sandbox.agent.answers(30)
    with pytest.raises(RuntimeFailure, match="exit status -9"):
        sandbox.agent.submit({"op": "run"})
    sandbox.agent.abort()
    sandbox.agent.abort()


def test_answers_that_came_before_the_death_are_heard(tmp_path: Path) -> None:
    code = 'print(HELLO, flush=True)\nsys.stdin.readline()\nprint(\'{"id": 1}\\n{"id": 2}\')'
    agent = Agent(program(tmp_path, code), ENVIRONMENT)
    agent.submit({"op": "run"})
    assert agent.answers(30) == [{"id": 1}, {"id": 2}]
    with pytest.raises(RuntimeFailure, match="exit status 0"):
        agent.answers(30)
    agent.close()


def test_submit_never_waits_for_an_agent_that_does_not_read(tmp_path: Path) -> None:
    code = (
        "print(HELLO, flush=True)\nwhile not os.path.exists(sys.argv[0] + '.go'): time.sleep(.01)\n"
        "size = len(sys.stdin.readline())\nprint('{\"size\": %d}' % size, flush=True)\n"
        "sys.stdin.read()\n"
    )
    argv = program(tmp_path, code)
    agent = Agent(argv, ENVIRONMENT)
    request = {"code": "x" * 200_000_000}
    began = time.monotonic()
    agent.submit(request)
    assert agent.answers(0.0) == []
    assert time.monotonic() - began < 10
    Path(argv[1] + ".go").touch()
    [answer] = agent.answers(60)
    assert answer["size"] == 200_000_000 + len('{"code": ""}\n')
    agent.close()


def test_answers_wait_no_longer_than_they_were_told(tmp_path: Path) -> None:
    agent = Agent(program(tmp_path, "print(HELLO, flush=True)\nsys.stdin.read()"), ENVIRONMENT)
    began = time.monotonic()
    assert agent.answers(0.2) == []
    assert 0.2 <= time.monotonic() - began < 5
    agent.close()


def test_an_agent_that_talks_on_stderr_is_not_blocked(tmp_path: Path) -> None:
    code = (
        "print(HELLO, flush=True)\nsys.stdin.readline()\n"
        "for _ in range(300): sys.stderr.write('w' * 10000)\nprint('{}', flush=True)\n"
        "sys.stdin.read()\n"
    )
    agent = Agent(program(tmp_path, code), ENVIRONMENT)
    agent.submit({})
    assert agent.answers(30) == [{}]
    agent.close()


def test_closing_ends_what_does_not_want_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc_runner.sandbox.client._CLOSE_S", 0.2)
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "print(HELLO, flush=True)\ntime.sleep(99)"
    killed: list[int] = []
    agent = Agent(program(tmp_path, code), ENVIRONMENT, kill=lambda: killed.append(1))
    pid = agent._process.pid
    agent.close()
    agent.close()
    assert killed == [1]
    until(lambda: not alive(pid))


def test_the_agent_is_given_its_environment_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    code = "print(HELLO, flush=True)\nsys.stdin.readline()\nimport json\n"
    code += "print(json.dumps(dict(os.environ)), flush=True)"
    agent = Agent(program(tmp_path, code), {"PATH": "/usr/bin"})
    agent.submit({})
    [seen] = agent.answers(30)
    assert {"PATH"} <= set(seen) <= {"PATH", "LC_CTYPE"}
    agent.close()


@pytest.mark.parametrize("said", ["5", "[]", '{"op": "hello", "protocol": 1}'])
def test_json_that_is_no_hello(tmp_path: Path, said: str) -> None:
    message = failure(program(tmp_path, f"print({said!r}, flush=True)\nsys.stdin.read()"))
    assert "this is not an agent" in message
