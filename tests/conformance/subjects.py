"""What the suite is held against: each runtime, in each way that it can be had on this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import sarus_host
from agents import Sandbox, alive, descendants

from hpc_runner.errors import HpcRunnerError
from hpc_runner.sandbox import images
from hpc_runner.sandbox.apptainer import ApptainerRuntime
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.podman import PodmanRuntime
from hpc_runner.sandbox.sarus import PROGRAM, SarusRuntime
from hpc_runner.sandbox.spec import AGENT, AgentSpec, Image, Runtime
from hpc_runner.sandbox.starter import HEADROOM_BYTES, HEADROOM_PROCESSES

IMAGE = "py311"
USER = 64031
"""An ordinary user of this machine who owns nothing, and so do the ids that are given to it."""
FIRST_SUBORDINATE = 6_500_000


class Unavailable(Exception):
    """This subject can't be had here: the reason."""


@dataclass
class Subject:
    """One runtime, ready to start agents."""

    name: str
    make: Callable[[Path], Runtime]
    """From the agent's file."""
    agent: Path
    """The agent's file, where the subject's user can read it."""
    scratch: Path
    """A directory that the subject's user can read."""
    left: Callable[[str], list[str]]
    """What the runtime still has of this name: containers, or directories of the host."""
    pid_of: Callable[[str], int]
    """The first process of the container of this name; 0 where there is none."""
    run_by: dict[str, str] | None
    """What `hpc-runner run` needs in its environment to use it; None where it can't."""
    image: Image | None = None
    reason: str = ""
    level: str = "?"
    _count: int = 0
    _started: list[Agent] = field(default_factory=list)

    @property
    def runtime(self) -> Runtime:
        return self.make(self.agent)

    def spec(self, slots: int = 1) -> AgentSpec:
        """As workers ask for it, with the limits that candidates have by default.  A directory
        of the spec's name is among its mounts, so that the name stands in the agent's command."""
        self._count += 1
        name = f"conformance-{os.getpid()}-{self._count}-{self.name}"
        mount = self.scratch / name
        mount.mkdir()
        (mount / "given.txt").write_text("given")
        return AgentSpec(
            name=name,
            slots=slots,
            require_isolation="limits",
            memory_bytes=HEADROOM_BYTES + slots * ((256 + 64 << 20) + HEADROOM_BYTES),
            processes=HEADROOM_PROCESSES + slots * (64 + HEADROOM_PROCESSES),
            image=self.image,
            mounts=(mount,),
        )

    def start(self, spec: AgentSpec, agent: Path | None = None) -> Started:
        runtime = self.make(agent or self.agent)
        argv, environment = runtime.command(spec), runtime.environment()
        running = Agent(argv, environment, kill=lambda: runtime.kill(spec.name))
        self._started.append(running)
        if agent is None:
            self.level = running.hello.isolation
        return Started(running, spec.name)

    def end(self) -> None:
        """End what tests that failed have left."""
        for running in self._started:
            running.abort()


class Started(Sandbox):
    """A running agent that can be looked at from outside."""

    def __init__(self, agent: Agent, name: str) -> None:
        self.agent = agent
        self.name = name
        self._identity = 0


def command_line(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return []


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def agent_pid(name: str) -> int:
    """Of the agent that was started under this name, as this process sees it; 0 if it doesn't."""
    for pid in all_pids():
        words = command_line(pid)
        named = any(word.endswith((f"/{name}", f"={name}")) for word in words)
        if named and words[1:3] == ["-I", "-B"] and alive(pid):
            return pid
    return 0


def family(name: str) -> list[int]:
    """Every process that belongs to the agent of this name: the agent, what it started, the
    engine's client and the engine's monitor."""
    named = [pid for pid in all_pids() if any(name in word for word in command_line(pid))]
    agent = agent_pid(name)
    return sorted({*named, *(descendants(agent) if agent else ())} - {os.getpid()})


# ------------------------------------------------------------------------------ engines


def _engine(name: str, make: Callable[[Path], Runtime], program: str, **changes: object) -> Subject:
    def ask(*arguments: str) -> list[str]:
        environment = make(AGENT).environment()
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True
        )
        return done.stdout.split()

    def left(container: str) -> list[str]:
        return ask("ps", "--all", "--quiet", "--filter", f"name=^{container}$")

    def pid_of(container: str) -> int:
        found = ask("inspect", "--format", "{{.State.Pid}}", container)
        return int(found[0]) if found and found[0].isdigit() else 0

    values: dict[str, object] = {"agent": AGENT, "left": left, "pid_of": pid_of, "run_by": {}}
    values |= changes
    return Subject(name, make, **values)  # type: ignore[arg-type]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A directory that everyone can reach.  Not below /tmp, which candidates have of their own."""
    where = "/opt" if os.access("/opt", os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="conformance-", dir=where))
    top.chmod(0o755)
    try:
        yield top
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=True)


@contextlib.contextmanager
def local() -> Iterator[Subject]:
    with _scratch() as scratch:
        yield Subject(
            "local",
            lambda agent: LocalRuntime(agent=agent),
            AGENT,
            scratch,
            left=lambda name: list(map(str, Path(tempfile.gettempdir()).glob(f"*{name}*"))),
            pid_of=agent_pid,
            run_by={},
        )


@contextlib.contextmanager
def docker() -> Iterator[Subject]:
    with _scratch() as scratch:
        yield _engine("docker", lambda agent: DockerRuntime(agent=agent), "docker", scratch=scratch)


@contextlib.contextmanager
def podman() -> Iterator[Subject]:
    """As the user of the tests."""
    with _scratch() as scratch:
        yield _engine("podman", lambda agent: PodmanRuntime(agent=agent), "podman", scratch=scratch)


ROOTLESS = """#!/bin/bash
# podman as an ordinary user of a machine of which only this process knows that it has him
set -e
top={top}
[ -n "$IN_PRIVATE" ] || IN_PRIVATE=1 exec unshare --mount --propagation private "$0" "$@"
for name in passwd group subuid subgid; do mount --bind "$top/etc/$name" "/etc/$name"; done
cd /
exec setpriv --reuid={user} --regid={user} --clear-groups -- env -i HOME="$top/home" \\
    XDG_RUNTIME_DIR="$top/run" PATH=/usr/bin:/bin:/usr/sbin:/sbin podman "$@"
"""


@contextlib.contextmanager
def podman_rootless(subordinate: bool = True) -> Iterator[Subject]:
    """As an ordinary user, whom root makes up in a mount namespace.

    Without ``subordinate`` ids its storage has to pass over the owners of files.
    """
    if os.getuid() != 0:
        raise Unavailable("only root can make up a user; podman itself ran as this one")
    for needed in ("podman", "setpriv", "newuidmap", "unshare"):
        if shutil.which(needed) is None:
            raise Unavailable(f"{needed} is not installed")
    with _scratch() as top:
        program = _made_up_user(top, subordinate)
        agent = _for_everyone(AGENT, top)
        seccomp = _for_everyone(images.containers_dir() / "seccomp.json", top)
        (top / "scratch").mkdir(mode=0o755)

        def make(agent: Path) -> Runtime:
            return PodmanRuntime(str(program), agent=agent, seccomp=seccomp)

        try:
            yield _engine(
                "podman-rootless",
                make,
                str(program),
                agent=agent,
                scratch=top / "scratch",
                run_by={"PATH": f"{program.parent}:{os.environ.get('PATH', os.defpath)}"}
                if _everyone_can_read()
                else None,
            )
        finally:
            _end_pause(top / "run" / "libpod" / "tmp" / "pause.pid")


def _made_up_user(top: Path, subordinate: bool) -> Path:
    """The program that is podman for that user."""
    for directory in ("etc", "home/.config/containers", "run", "bin"):
        (top / directory).mkdir(parents=True)
    ids = f"madeup:{FIRST_SUBORDINATE}:65536\n" if subordinate else ""
    for name in ("passwd", "group"):
        text = Path("/etc", name).read_text()
        text += f"madeup:x:{USER}:{USER}::{top}/home:/bin/sh\n" if name == "passwd" else ""
        (top / "etc" / name).write_text(text)
    for name in ("subuid", "subgid"):
        Path("/etc", name).touch()
        (top / "etc" / name).write_text(ids)
    storage = '[storage]\ndriver = "overlay"\n[storage.options.overlay]\n'
    storage += "" if subordinate else 'ignore_chown_errors = "true"\n'
    (top / "home/.config/containers/storage.conf").write_text(storage)
    (top / "run").chmod(0o700)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", top / "home", top / "run"], check=True)
    program = top / "bin" / "podman"
    program.write_text(ROOTLESS.format(top=shlex.quote(str(top)), user=USER))
    program.chmod(0o755)
    return program


def _everyone_can_read() -> bool:
    """The agent of the package itself is what a run starts, in a container of any user."""
    paths = (AGENT, *AGENT.parents, images.containers_dir())
    return all(path.stat().st_mode & 0o005 for path in paths)


def _end_pause(file: Path) -> None:
    """The process by which podman keeps a user's namespace between two commands."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(file.read_text())
        if "podman" in Path(f"/proc/{pid}/comm").read_text():
            os.kill(pid, 9)


@contextlib.contextmanager
def sarus() -> Iterator[Subject]:
    """The program that HPC_RUNNER_SARUS names, or the double: as an ordinary user if it can be."""
    real = os.environ.get(PROGRAM)
    with _scratch() as top:
        program = real or sarus_host.install(top)
        agent = AGENT
        if not real and os.getuid() == 0:
            agent = _for_everyone(AGENT, top)
            program = str(_script(top / "sarus", sarus_host.as_user(), program))
        (top / "scratch").mkdir(mode=0o755)

        def pids(container: str) -> list[str]:
            argv = [program, "ps"]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
            rows = [line.split() for line in done.stdout.splitlines()]
            return [row[1] for row in rows if row[:1] == [container]]

        yield Subject(
            "sarus",
            lambda agent: SarusRuntime(program, agent=agent),
            agent,
            top / "scratch",
            left=pids,
            pid_of=lambda name: next(map(int, pids(name)), 0),
            run_by={PROGRAM: program} if agent == AGENT or _everyone_can_read() else None,
        )


@contextlib.contextmanager
def apptainer() -> Iterator[Subject]:
    """Where there is one; no double of it exists."""
    with _scratch() as scratch:
        yield Subject(
            "apptainer",
            lambda agent: ApptainerRuntime(agent=agent),
            AGENT,
            scratch,
            left=lambda name: list(map(str, family(name))),
            pid_of=agent_pid,
            run_by={},
        )


def _for_everyone(file: Path, where: Path) -> Path:
    copy = where / file.name
    shutil.copy(file, copy)
    copy.chmod(0o644)
    return copy


def _script(file: Path, *words: str | list[str]) -> Path:
    """A program that is a command with these words before its arguments."""
    flat = [word for part in words for word in ([part] if isinstance(part, str) else part)]
    file.write_text(f'#!/bin/sh\nexec {shlex.join(flat)} "$@"\n')
    file.chmod(0o755)
    return file


Opener = Callable[[], contextlib.AbstractContextManager[Subject]]
SUBJECTS: dict[str, Opener] = {
    "local": local,
    "docker": docker,
    "podman": podman,
    "podman-rootless": podman_rootless,
    "sarus": sarus,
    "apptainer": apptainer,
}
IN_CI = {"local", "docker", "podman", "podman-rootless", "sarus"}
"""What must be there where nobody looks at what was skipped."""


@dataclass
class Book:
    """What the table at the end is made of."""

    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Check → subject → "ok", "FAILED", "skipped", or "partly" where some of it was."""
    subjects: dict[str, str] = field(default_factory=dict)
    """Subject → what it is, or why there is none."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Check and subject → why it was skipped."""


@contextlib.contextmanager
def opened(opener: Opener) -> Iterator[Subject]:
    """The subject with its image in it.  Raises ``Unavailable``."""
    with opener() as subject:
        runtime = subject.runtime
        found = runtime.available()
        if not found.ok:
            raise Unavailable(f"{found.reason}; {found.mend}")
        subject.reason = found.reason
        if runtime.needs_image:
            try:
                subject.image = images.ensure(IMAGE, print)
                runtime.load(_readable(subject.image, subject), print)
            except HpcRunnerError as error:
                raise Unavailable(str(error)) from error
        try:
            yield subject
        finally:
            subject.end()


def _readable(image: Image, subject: Subject) -> Image:
    """The image with an archive that the subject's user can read."""
    assert image.archive is not None
    if subject.agent == AGENT:
        return image
    copy = subject.scratch / "image.tar"
    shutil.copyfile(image.archive, copy)
    return replace(image, archive=copy)
