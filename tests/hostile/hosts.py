"""The places where attacks run: an agent for each, and what is looked at on the host."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attack_files import HERE, LOOPBACK_PORT

from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.runtimes import RUNTIMES
from hpc_runner.sandbox.spec import AGENT, AgentSpec, Image

USER = 64007
"""An ordinary user of this machine who owns nothing."""
SANDBOX_UIDS = {*range(60600, 60608), USER}
ANSWER_S = 60.0
MEMORY_BYTES = 2 << 30
OPT = "/opt"
MARK = "hostile-"
"""What every attack that plants something calls it."""


class Unavailable(Exception):
    """This place can't be had here: the reason."""


@dataclass
class Host:
    """A warm agent with one slot, and what the host looked like when it was idle."""

    name: str
    agent: Agent
    pid: int
    """Of the agent, as this process sees it; 0 where it doesn't."""
    uids: set[int]
    scratch: Path | None = None
    """The directory for temporary files that the agent was started with."""
    _identity: int = 0
    _mounts: dict[int, str] = field(default_factory=dict)
    _descriptors: int = 0
    _children: int = 1
    _marked: list[str] = field(default_factory=list)

    @property
    def level(self) -> str:
        return self.agent.hello.isolation

    def run(
        self, request: dict[str, Any], watch: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        """The answer to one request; ``watch`` is called about every 20 ms until it is there.
        Raises RuntimeFailure when the agent dies, TimeoutError when it doesn't answer."""
        self._identity += 1
        self.agent.submit({**request, "id": self._identity})
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            answers = self.agent.answers(0.02 if watch else 1.0)
            if answers:
                assert answers[0].get("id") == self._identity, answers
                return answers[0]
            if watch:
                watch()
        raise TimeoutError(f"no answer for {ANSWER_S:.0f} s")

    def remember(self) -> None:
        """Call when idle, after a first execution."""
        self._marked = everywhere_marked()
        self._children = len(children(self.pid))
        self._descriptors = count_descriptors(self.pid)
        self._mounts = {pid: mounts(pid) for pid in children(self.pid)}

    def leftovers(self) -> list[str]:
        """What shouldn't be there when no execution runs, as sentences."""
        found: list[str] = []
        if self.pid:
            zygotes = children(self.pid)
            if len(zygotes) != self._children:
                found.append(f"the agent has {len(zygotes)} children, not {self._children}")
            for zygote in zygotes:
                found += [f"process {pid} is left: {cmdline(pid)}" for pid in descendants(zygote)]
                known = self._mounts.setdefault(zygote, mounts(zygote))
                if self.level == "full" and mounts(zygote) != known:
                    found.append("the slot has other mounts than before")
                found += [f"socket {name} is left" for name in unix_sockets(zygote)]
            descriptors = count_descriptors(self.pid)
            if descriptors != self._descriptors:
                found.append(f"the agent has {descriptors} descriptors, not {self._descriptors}")
        found += [f"socket {name} is left on the host" for name in unix_sockets(os.getpid())]
        found += [f"{line} is left" for line in sysv_objects(self.uids)]
        found += [f"{path} is left" for path in everywhere_marked() if path not in self._marked]
        if self.scratch is not None:
            if (self.scratch / "canary").read_text() != "alive":
                found.append("the canary is dead")
            for box in self.scratch.glob("hpc_runner-*"):
                found += [
                    f"{path} is left in the box" for path in box.iterdir() if not path.is_dir()
                ]
                # A directory for each slot, where they have no mounts of their own.
                found += [f"{path} is left in the box" for path in box.glob("*/*")]
            found += [f"{path} is left" for path in marked(self.scratch)]
        return found

    def memory(self) -> int:
        """Resident bytes of everything that the agent has started; what is shared counts once."""
        return sum(resident(pid) for pid in descendants(self.pid)) if self.pid else 0


# ----------------------------------------------------------------------------- places


@contextlib.contextmanager
def local(name: str, uid: int | None, *, namespaces: bool = True, slots: int = 1) -> Iterator[Host]:
    """The agent on this machine, as the user ``uid``."""
    if uid != os.getuid() and os.getuid() != 0:
        raise Unavailable("another user can only be taken by root")
    # Not below /tmp, which would be part of the candidates' view there.
    top = Path(tempfile.mkdtemp(prefix="agents-of-tests-", dir=OPT if os.access(OPT, 2) else None))
    try:
        top.chmod(0o755)
        agent_file = top / "agent.py"
        shutil.copy(AGENT, agent_file)
        agent_file.chmod(0o644)
        scratch = top / "scratch"
        scratch.mkdir()
        (scratch / "canary").write_text("alive")
        for path in (scratch, scratch / "canary"):
            os.chown(path, uid or 0, uid or 0)
        runtime = RUNTIMES["local"]()
        runtime._agent = agent_file  # type: ignore[attr-defined]
        argv = runtime.command(spec(name, slots=slots))
        if uid != os.getuid():
            argv = [
                shutil.which("setpriv") or "/usr/bin/setpriv",
                f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *argv,
            ]  # fmt: skip
        if not namespaces:
            argv = [sys.executable, "-I", str(HERE / "without_namespaces.py"), *argv]
        with opened(Agent(argv, {**runtime.environment(), "TMPDIR": str(scratch)})) as agent:
            uids = SANDBOX_UIDS if uid == 0 else {uid or 0}
            yield Host(name, agent, agent._process.pid, uids, scratch)
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=True)  # it copes with any depth


@contextlib.contextmanager
def docker() -> Iterator[Host]:
    """The agent in a container, as ``--runtime docker`` starts it."""
    runtime = RUNTIMES["docker"]()
    found = runtime.available()
    if not found.ok:
        raise Unavailable(f"{found.reason}; {found.mend}")
    image = runtime.ensure_image("py311", print)
    name = f"hpc-runner-hostile-{os.getpid()}"
    start = runtime.command(spec(name, image))
    agent = Agent(start, runtime.environment(), kill=lambda: runtime.kill(name))
    with opened(agent):
        inspect = [start[0], "inspect", "--format", "{{.State.Pid}}", name]
        done = subprocess.run(
            inspect, env=runtime.environment(), capture_output=True, text=True, check=True
        )
        pid = int(done.stdout)
        yield Host("docker", agent, pid if "agent.py" in cmdline(pid) else 0, SANDBOX_UIDS)


@contextlib.contextmanager
def opened(agent: Agent) -> Iterator[Agent]:
    try:
        yield agent
    finally:
        agent.close()


def spec(name: str, image: Image | None = None, slots: int = 1) -> AgentSpec:
    return AgentSpec(
        name=name,
        slots=slots,
        require_isolation="limits",
        memory_bytes=MEMORY_BYTES,
        processes=256,
        image=image,
    )


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[Host]]] = {
    "local-root": lambda: local("local-root", 0),
    "local-user": lambda: local("local-user", USER if os.getuid() == 0 else os.getuid()),
    "docker": docker,
    "filtered": lambda: local(
        "filtered", USER if os.getuid() == 0 else os.getuid(), namespaces=False
    ),
}


@contextlib.contextmanager
def listeners() -> Iterator[list[str]]:
    """Servers on the host that no candidate may reach.  Yields what reached them, filled in
    as the block ends."""
    reached: list[str] = []
    sockets = []
    for kind, family, address in (
        ("TCP on IPv4", socket.AF_INET, ("127.0.0.1", LOOPBACK_PORT)),
        ("TCP on IPv6", socket.AF_INET6, ("::1", LOOPBACK_PORT)),
        ("an abstract socket", socket.AF_UNIX, "\0the-host-of-" + MARK + "tests"),
    ):
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(address)
        except OSError:  # no IPv6 here
            server.close()
            continue
        server.listen()
        server.setblocking(False)
        sockets.append((kind, server))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", LOOPBACK_PORT))
    datagrams.setblocking(False)
    try:
        yield reached
        for kind, server in sockets:
            with contextlib.suppress(BlockingIOError):
                server.accept()[0].close()
                reached.append(kind)
        with contextlib.suppress(BlockingIOError):
            datagrams.recv(100)
            reached.append("UDP")
    finally:
        for _, server in sockets:
            server.close()
        datagrams.close()


# -------------------------------------------------------------------- looking at the host


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


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def mounts(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return ""


def count_descriptors(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def unix_sockets(pid: int) -> list[str]:
    """Names of the attacks' sockets in the network namespace of a process."""
    try:
        lines = Path(f"/proc/{pid}/net/unix").read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = [line.split()[-1] for line in lines if MARK in line]
    return [name for name in names if not name.startswith("@the-host-of-")]


def sysv_objects(uids: set[int]) -> list[str]:
    found = []
    for kind in ("shm", "sem", "msg"):
        header, *lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        column = header.split().index("uid")
        found += [f"{kind} {line}" for line in lines if int(line.split()[column]) in uids]
    return found


def everywhere_marked() -> list[str]:
    places = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/")  # noqa: S108
    return [path for place in places for path in marked(Path(place))]


def marked(place: Path) -> list[str]:
    """The attacks' files in a directory of the host."""
    try:
        return [str(path) for path in place.iterdir() if path.name.startswith(MARK)]
    except OSError:
        return []
