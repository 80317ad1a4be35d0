"""The worker's end of an agent: starts it, speaks its JSON lines, notices its death."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_runner.errors import IsolationError, RuntimeFailure
from hpc_runner.sandbox.agent import PROTOCOL
from hpc_runner.sandbox.calls import abandon, ended

__all__ = ["Agent", "Hello", "probe"]

_CHUNK = 1 << 20
_CLOSE_S = 5.0


@dataclass(frozen=True)
class Hello:
    """What an agent says of itself first."""

    agent: str
    python: str
    kernel: str
    host: str
    slots: int
    isolation: str
    """Level: limits, filtered or full."""
    mechanisms: tuple[str, ...]
    missing: Mapping[str, str]
    """Mechanism → why it can't be had here."""
    speed: float | None = None
    """How fast Python runs there, as a multiple of ``agent.REFERENCE_S``'s node."""


class Agent:
    """A running agent.  Not safe for use by several threads.

    ``argv`` and ``env`` come from the runtime; ``kill`` must end the container whatever
    state it is in.  The constructor returns when the agent has said hello.  Raises
    ``IsolationError`` when less isolation than required can be had, ``RuntimeFailure``
    for anything else that keeps it from starting, with the last of what it said.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        kill: Callable[[], None] = lambda: None,
        start_s: float = 120.0,
    ) -> None:
        self._program = argv[0].rpartition("/")[2]
        self._kill = kill
        self._greeted = False
        self._buffer = bytearray()
        self._errors = bytearray()
        self._unsent = bytearray()
        self.dead = False
        try:
            self._process = subprocess.Popen(
                argv,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A Ctrl-C at the terminal is the worker's to handle.
                process_group=0,
            )
        except OSError as error:
            raise RuntimeFailure(f"can't start {argv[0]}: {error.strerror}") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        self._err = self._process.stderr.fileno()
        self._selector = selectors.DefaultSelector()
        for descriptor in (self._out, self._err):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)
        os.set_blocking(self._in, False)
        self.hello = self._greet(start_s)

    def fileno(self) -> int:
        """Readable when ``answers`` has something to do."""
        return self._selector.fileno()

    def submit(self, request: Mapping[str, Any]) -> None:
        """Hand over a request (see ``agent.Supervisor``).  Never blocks: what the agent
        doesn't take now is sent by ``answers``.  Raises ``RuntimeFailure`` when it is dead."""
        self._unsent += json.dumps(request).encode("ascii") + b"\n"
        self._send()

    def answers(self, timeout_s: float) -> list[dict[str, Any]]:
        """The answers that are there, after waiting for one for at most ``timeout_s``.

        Raises ``RuntimeFailure`` when the agent has died or said what it shouldn't.
        """
        end = time.monotonic() + timeout_s
        while True:
            ready = self._selector.select(max(0.0, end - time.monotonic()))
            for key, mask in ready:
                if mask & selectors.EVENT_WRITE:
                    self._send()
                elif key.fd == self._err:
                    self._read_errors()
                elif not self._read():
                    raise self._died()
            found = self._lines()
            if found or time.monotonic() >= end:
                return found

    def close(self) -> None:
        """End it: by closing its stdin, and by force when that doesn't do.  Idempotent.

        Raises what ``kill`` raises; a process that can't be ended is left alone then.
        """
        self._end(_CLOSE_S)

    def abort(self) -> None:
        """End it at once, by force.  Idempotent; raises as ``close`` does."""
        self._end(0.0)

    # -- inside

    def _end(self, grace_s: float) -> None:
        self.dead = True
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        try:
            if not ended(self._process, grace_s):
                with contextlib.suppress(PermissionError):  # as with Sarus, which runs as root
                    self._process.kill()
                self._kill()
            elif not grace_s:
                with contextlib.suppress(RuntimeFailure):  # a container may outlive its client
                    self._kill()
        finally:
            self._selector.close()
            abandon(self._process)

    def _greet(self, start_s: float) -> Hello:
        first: list[dict[str, Any]] = []
        try:
            first = self.answers(start_s)
        except RuntimeFailure:
            self.abort()
            raise
        if not first:
            self.abort()
            raise RuntimeFailure(f"the agent said nothing for {start_s:.0f} s{self._said()}")
        hello = first[0]
        self._greeted = True
        if (
            type(hello) is not dict
            or hello.get("op") != "hello"
            or hello.get("protocol") != PROTOCOL
        ):
            self.abort()
            raise RuntimeFailure(
                f"this is not an agent of protocol {PROTOCOL}: it said {str(hello)[:200]}"
            )
        if "error" in hello:
            self.close()
            reasons = "; ".join(f"{name}: {why}" for name, why in hello["missing"].items())
            raise IsolationError(f"{hello['error']} ({reasons or 'no reason given'})")
        try:
            return self._understand(hello)
        except KeyError as error:
            self.abort()
            raise RuntimeFailure(f"this is not an agent: its hello lacks {error}") from error

    @staticmethod
    def _understand(hello: dict[str, Any]) -> Hello:
        return Hello(
            agent=hello["agent"],
            python=hello["python"],
            kernel=hello["kernel"],
            host=hello["host"],
            slots=hello["slots"],
            isolation=hello["isolation"],
            mechanisms=tuple(hello["mechanisms"]),
            missing=hello["missing"],
            speed=hello.get("speed"),
        )

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._in, self._unsent[:_CHUNK])]
        except BlockingIOError:
            if self._in not in self._selector.get_map():
                self._selector.register(self._in, selectors.EVENT_WRITE)
            return
        except BrokenPipeError:
            raise self._died() from None
        if self._in in self._selector.get_map():
            self._selector.unregister(self._in)

    def _read(self) -> bool:
        """False when the agent has closed its stdout."""
        try:
            data = os.read(self._out, _CHUNK)
        except BlockingIOError:
            return True
        self._buffer += data
        return bool(data)

    def _read_errors(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._err, _CHUNK)
            if not data:
                self._selector.unregister(self._err)
            self._errors = (self._errors + data)[-4000:]

    def _lines(self) -> list[dict[str, Any]]:
        if b"\n" not in self._buffer:
            return []
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise RuntimeFailure(
                f"the agent said what is no JSON: {error}{self._said()}"
            ) from error

    def _died(self) -> RuntimeFailure:
        self.dead = True
        try:
            status: object = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            status = "none yet"
        if self._err in self._selector.get_map():
            self._read_errors()
        what = "the agent died"
        if not self._greeted:
            what = f"{self._program} or what it was to start failed before the agent said hello"
        return RuntimeFailure(f"{what} (exit status {status}){self._said()}")

    def _said(self) -> str:
        text = self._errors.decode("utf-8", "replace").strip()
        return f"; its last words: {text[-1000:]}" if text else ""


def probe(argv: Sequence[str], env: Mapping[str, str], *, start_s: float = 60.0) -> Hello:
    """Start an agent, hear its hello and end it.  Raises as ``Agent`` does."""
    agent = Agent(argv, env, start_s=start_s)
    agent.close()
    return agent.hello
