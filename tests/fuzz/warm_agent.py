"""A real agent that is sent what no worker would send."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from hpc_runner.model import Verdict
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.spec import AgentSpec

ANSWER_S = 30.0
VERDICTS = frozenset(verdict.value for verdict in Verdict)

HONEST: dict[str, Any] = {
    "op": "run",
    "id": "honest",
    "code": "def f(x):\n    return x + 1\n",
    "tests": {
        "kind": "assertions",
        "code": "def check(candidate):\n    assert candidate(1) == 2\n",
        "cases": ["check(f)"],
        "entry_point": "f",
    },
    "limits": {"wall_s": 5.0},
    "env": {},
    "judge": "auto",
    "every": False,
    "fresh": False,
}
WRONG = {**HONEST, "id": "wrong", "code": "def f(x):\n    return x + 2\n"}


class WarmAgent:
    """One slot; ``ask`` fails when the agent dies or says nothing."""

    def __init__(self) -> None:
        runtime = LocalRuntime()
        spec = AgentSpec(
            f"fuzz-{os.getpid()}-{secrets.token_hex(4)}",
            1,
            "limits",
            memory_bytes=1 << 30,
            processes=256,
        )
        self._process = subprocess.Popen(
            runtime.command(spec),
            env=runtime.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        os.set_blocking(self._process.stdout.fileno(), False)
        self._buffer = b""
        assert self._lines(1)[0]["op"] == "hello"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, answers: int = 1) -> list[dict[str, Any]]:
        """Sends ``data`` and a line end, and returns so many answers."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # its last words say more
            self._process.stdin.write(data + b"\n")
            self._process.stdin.flush()
        return self._lines(answers)

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request, which must have the form of one."""
        (answer,) = self.ask(json.dumps(request).encode("ascii"))
        check_answer(answer, request["id"])
        return answer

    def is_honest(self) -> None:
        """The next right program is accepted and the next wrong one is not."""
        assert self.run(HONEST)["verdict"] == "accepted"
        assert self.run(WRONG)["verdict"] == "wrong_answer"

    def close(self) -> None:
        self._selector.close()
        self._process.kill()
        self._process.communicate()

    def _lines(self, count: int) -> list[dict[str, Any]]:
        assert self._process.stdout and self._process.stderr
        end = time.monotonic() + ANSWER_S
        while self._buffer.count(b"\n") < count:
            left = end - time.monotonic()
            assert left > 0 and self._selector.select(left), f"no answer for {ANSWER_S:.0f} s"
            data = self._process.stdout.read()
            if not data:
                words = self._process.stderr.read().decode("utf-8", "replace")
                raise AssertionError(f"the agent died: {words[-2000:]}")
            self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n", count)
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def warm_agent() -> Iterator[Renewed]:
    renewed = Renewed()
    try:
        yield renewed
    finally:
        renewed.close()


class Renewed:
    """A warm agent that is started anew after a failure, so that examples can be made smaller."""

    def __init__(self) -> None:
        self._agent: WarmAgent | None = None

    @contextlib.contextmanager
    def use(self) -> Iterator[WarmAgent]:
        if self._agent is not None and not self._agent.alive:
            self.close()
        self._agent = self._agent or WarmAgent()
        try:
            yield self._agent
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()
            self._agent = None


def check_answer(answer: dict[str, Any], identity: object) -> None:
    """What a worker relies on, column by column."""
    assert answer["op"] == "result", answer
    assert json.dumps(answer["id"]) == json.dumps(identity)
    assert answer["verdict"] in VERDICTS
    assert answer["judge"] in ("inline", "split", "output", "exit")
    for name, outcome, wall_s, message in answer["tests"]:
        assert type(name) is type(message) is str
        assert outcome in VERDICTS | {"not_run"}
        assert type(wall_s) is float
    for key in ("wall_s", "cpu_s", "waited_s", "started_at"):
        assert type(answer[key]) is float
    for key in ("exit_code", "signal"):
        assert answer[key] is None or type(answer[key]) is int
    for key in ("error_type", "error_message", "judge_reason"):
        assert answer[key] is None or type(answer[key]) is str
    assert type(answer["peak_memory_bytes"]) is int
    assert all(type(item) is str for item in answer["suspicion"])
    for stream in ("stdout", "stderr"):
        assert len(bytes.fromhex(answer[stream]["sha256"])) == 32
        assert type(answer[stream]["bytes"]) is int and type(answer[stream]["tail"]) is str
