"""A real agent to ask, the tests one can give it, and a look at the processes it has."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.local import LocalRuntime, base_interpreter
from hpc_runner.sandbox.spec import AGENT

Request = dict[str, Any]
Answer = dict[str, Any]

MIB = 1 << 20
ANSWER_S = 60.0
USER = 64011
"""An ordinary user of this machine who owns nothing."""
NO_NAMESPACES = Path(__file__).parents[1] / "hostile" / "without_namespaces.py"


class Sandbox:
    """An agent with ``slots`` slots; ``prefix`` is what its command is started by."""

    def __init__(
        self,
        *,
        slots: int = 1,
        python: str | None = None,
        program: Path = AGENT,
        prefix: Iterable[str] = (),
        **environment: str,
    ) -> None:
        python = python or base_interpreter()
        argv = [*prefix, python, "-I", "-B", str(program), "--slots", str(slots)]
        self.agent = Agent(argv, {**LocalRuntime().environment(), **environment})
        self._identity = 0

    @property
    def pid(self) -> int:
        return self.agent._process.pid

    @property
    def level(self) -> str:
        return self.agent.hello.isolation

    def ask(self, **request: Any) -> int:
        """Hand over a request; its id."""
        self._identity += 1
        made = {"op": "run", "id": self._identity, "code": "", "tests": NONE, **request}
        self.agent.submit(made)
        return self._identity

    def hear(self) -> Answer:
        """The next answer."""
        [answer] = self.hear_all(1)
        return answer

    def hear_all(self, count: int) -> list[Answer]:
        """The next so many answers."""
        heard: list[Answer] = []
        end = time.monotonic() + ANSWER_S
        while len(heard) < count:
            assert time.monotonic() < end, f"{len(heard)} answers of {count}"
            heard += self.agent.answers(1.0)
        assert len(heard) == count
        return heard

    def run(self, code: str = "", tests: Request | None = None, **request: Any) -> Answer:
        identity = self.ask(code=code, tests=tests or NONE, **request)
        answer = self.hear()
        assert (answer["op"], answer["id"]) == ("result", identity), answer
        return answer

    def run_all(self, requests: Iterable[Request]) -> list[Answer]:
        """Answers in the order of the requests."""
        identities = [self.ask(**request) for request in requests]
        by_id = {answer["id"]: answer for answer in self.hear_all(len(identities))}
        return [by_id[identity] for identity in identities]


@contextlib.contextmanager
def opened(**options: Any) -> Iterator[Sandbox]:
    """A sandbox that is gone at the end of the block."""
    sandbox = Sandbox(**options)
    try:
        yield sandbox
    finally:
        sandbox.agent.close()


@contextlib.contextmanager
def as_user(**options: Any) -> Iterator[Sandbox]:
    """A sandbox of another, ordinary user; only root can start it."""
    top = Path(tempfile.mkdtemp(prefix="agents-of-tests-", dir="/opt"))
    try:
        top.chmod(0o755)
        program = top / "agent.py"
        shutil.copy(AGENT, program)
        program.chmod(0o644)
        (top / "tmp").mkdir()
        os.chown(top / "tmp", USER, USER)
        prefix = ["/usr/bin/setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
        prefix += options.pop("prefix", ())
        with opened(program=program, prefix=prefix, TMPDIR=str(top / "tmp"), **options) as sandbox:
            yield sandbox
    finally:
        shutil.rmtree(top)


def without_namespaces() -> list[str]:
    """A prefix under which no namespaces can be made."""
    return [base_interpreter(), "-I", str(NO_NAMESPACES)]


def interpreters() -> dict[str, str]:
    """Minor version → an interpreter of this machine that the agent should run under."""
    found: dict[str, str] = {}
    for minor in range(8, 14):
        version = f"3.{minor}"
        homes = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}*/bin/python3"))
        for path in [*map(str, homes), shutil.which(f"python{version}")]:
            if path and _version(path) == version:
                found.setdefault(version, path)
    return found


def _version(python: str) -> str:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True)
    return done.stdout.strip()


# ------------------------------------------------------------------------------- tests

NONE: Request = {"kind": "none"}


def assertions(*cases: str, code: str = "") -> Request:
    return {"kind": "assertions", "code": code, "cases": list(cases), "entry_point": None}


def calls(*cases: tuple[list[Any], Any], name: str = "f", tolerance: Any = None) -> Request:
    made = [{"args": args, "kwargs": {}, "expected": expected} for args, expected in cases]
    return {"kind": "calls", "entry_point": name, "cases": made, "tolerance": tolerance}


def stdio(*cases: tuple[str, str], checker: str = "trimmed", tolerance: float = 1e-6) -> Request:
    made = [{"stdin": stdin, "stdout": stdout} for stdin, stdout in cases]
    return {"kind": "stdio", "cases": made, "checker": checker, "tolerance": tolerance}


def expected_output(stdout: str, checker: str = "trimmed") -> Request:
    return {"kind": "expected_output", "stdout": stdout, "checker": checker, "tolerance": 1e-6}


def unittests(body: str) -> Request:
    """A test class ``T`` with this body."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    return {"kind": "unittest", "code": f"import unittest\nclass T(unittest.TestCase):\n{indented}"}


def outcomes(answer: Answer) -> list[str]:
    return [test[1] for test in answer["tests"]]


# --------------------------------------------------------------------------- processes


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    found = children(pid)
    for child in found:
        found += children(child)
    return found


def alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident(pid: int) -> int:
    """Bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.01)
