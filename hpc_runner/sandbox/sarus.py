"""The ``sarus`` runtime: one container for each agent, on clusters where Sarus is installed.

Sarus gives a root file system and nothing else: no limits, no network of its own.
Those come from the agent.  It runs as root on behalf of its caller, who can't signal
it, so that a container is ended from inside or by ``kill`` here, and nothing in this
module waits for a process without a deadline.  docs/runtimes.md says what each option
of the command is there for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import secrets
import select
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hpc_runner.errors import ConfigError, ImageError, RuntimeFailure
from hpc_runner.sandbox import contents, images
from hpc_runner.sandbox.calls import call, said
from hpc_runner.sandbox.engine import located
from hpc_runner.sandbox.spec import (
    AGENT,
    AGENT_IN_CONTAINER,
    PYTHON_IN_CONTAINER,
    AgentSpec,
    Availability,
    Image,
    seen_at,
)

PROGRAM = "HPC_RUNNER_SARUS"
"""Environment variable: the program, where it isn't ``sarus`` on PATH."""
OPTIONS = "HPC_RUNNER_SARUS_OPTIONS"
"""Environment variable: options of ``sarus run``, as a shell would split them."""
PULLED = "HPC_RUNNER_SARUS_PULLED"
"""Environment variable: NAME=REFERENCE, separated by spaces: environments whose images are not
built here but were pulled, each by its digest."""
CENTRALIZED = "--centralized-repository"

CALL_S = 20.0
LOAD_S = 900.0
CHECK_S = 120.0
KILL_S = 30.0
HANGUP_S = 0.25
"""For a container to end after SIGHUP, which is all that ``sarus kill`` sends."""
KILLED_S = 5.0

GO_RUNTIME_BYTES = 1500 * 1000 * 1000
"""Of address space, without which Sarus doesn't start."""

_PULLED = re.compile(r"(\S+)@(sha256:[0-9a-f]{64})")


class SarusRuntime:
    """Runs the agent in a container with a pid namespace and an init of its own.

    ``options`` are more of ``sarus run``'s.  ``pulled`` gives the references of environments
    whose images were pulled: ``registry.example/team/image@sha256:...``.  What is not given
    comes from the environment.  Raises ``ConfigError`` when that can't be understood.
    """

    name = "sarus"
    needs_image = True

    def __init__(
        self,
        program: str | None = None,
        agent: Path = AGENT,
        options: Sequence[str] | None = None,
        pulled: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program or os.environ.get(PROGRAM) or "sarus"
        if options is None:
            options = shlex.split(os.environ.get(OPTIONS, ""))
        self._options = tuple(options)
        self._pulled = _read_pulled(os.environ.get(PULLED, "")) if pulled is None else pulled
        self._agent = agent

    def available(self) -> Availability:
        address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if address_space != resource.RLIM_INFINITY and address_space < GO_RUNTIME_BYTES:
            reason = f"address space is limited to {address_space >> 20} MiB"
            return Availability(False, reason, "ulimit -v unlimited: Sarus needs 1.5 GB of it")
        if reason := _unmountable(self._agent):
            return Availability(False, reason, "install hpc_runner in another directory")
        try:
            version = self._call(["--version"], CALL_S)
            listed = self._call(["images", *self._repository()], CALL_S)
        except RuntimeFailure as error:
            mend = f"load its module on a compute node, or set {PROGRAM} to the program"
            return Availability(False, str(error), mend)
        for done in (version, listed):
            if done.returncode != 0:
                mend = "see that `sarus images` works for this user on this node"
                return Availability(False, said(done), mend)
        return Availability(True, f"Sarus {version.stdout.strip()} answers")

    def ensure_image(self, name: str, progress: Callable[[str], None]) -> Image | None:
        if name in self._pulled:
            reference = self._pulled[name]
            image = Image(name, reference, bytes.fromhex(reference.rpartition(":")[2]))
            self.load(image, progress)
            return image
        image = images.ensure(name, progress)
        if not self._load(image, progress):
            self._compare(image)
        return image

    def load(self, image: Image, progress: Callable[[str], None]) -> None:
        """See that this node's repository has the image, and load it from its archive if not.
        Then what was loaded is compared with the archive, file by file.

        Several ranks of a node may ask at once: one loads, the others wait for it.
        Raises ``ImageError``.
        """
        self._load(image, progress)

    def has_image(self, image: Image) -> bool:
        """By its name, which holds the start of its digest: Sarus keeps no more of it for an
        image that was loaded.  For one that was pulled, by the digest."""
        done = self._call(["images", *self._repository(), "--digests"], CALL_S)
        if done.returncode != 0:
            raise RuntimeFailure(f"images can't be listed: {said(done)}")
        rows = [line.split()[:3] for line in done.stdout.splitlines()[1:]]
        if pulled := _PULLED.fullmatch(image.reference):
            name = pulled[1].removeprefix("docker.io/").removeprefix("library/")
            return any(row[::2] == [name, pulled[2]] for row in rows)
        return loaded_reference(image).rpartition(":")[::2] in [tuple(row[:2]) for row in rows]

    def command(self, spec: AgentSpec) -> list[str]:
        """Raises ``ConfigError`` for a path that Sarus can't mount, too."""
        if spec.image is None:
            raise ImageError(f"runtime {self.name!r} needs an image to start {spec.name!r}")
        binds = [_bind(mount, seen_at(mount, spec.image)) for mount in spec.mounts]
        return self._run(
            spec.name,
            [_bind(self._agent, AGENT_IN_CONTAINER), *binds],
            spec.image,
            ["-I", "-B", AGENT_IN_CONTAINER, *spec.agent_arguments()],
        )

    def environment(self) -> dict[str, str]:
        """All of it enters the container, so it is next to nothing."""
        return {"PATH": os.environ.get("PATH", os.defpath)}

    def kill(self, name: str) -> None:
        deadline = time.monotonic() + KILL_S
        while True:
            pid = self._pid(name)
            gone = not _being_started(name) if pid is None else self._end(name, pid)
            if gone:
                return
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"container {name!r} can't be ended in {KILL_S:.0f} s")

    # -- inside

    def _load(self, image: Image, progress: Callable[[str], None]) -> bool:
        """Whether there was something to load."""
        if self.has_image(image):
            return False
        if _PULLED.fullmatch(image.reference):
            raise ImageError(
                f"Sarus doesn't have {image.reference}; pull it on a compute node:"
                f" {shlex.join([self._program, 'pull', *self._repository(), image.reference])}"
            )
        with _alone_on_this_node():
            if self.has_image(image):
                return False
            image = located(image)
            progress(f"loading image {image.reference} into Sarus (about half a minute)")
            images.verify(image)
            target = loaded_reference(image).removeprefix("load/library/")
            arguments = ["load", *self._repository(), str(image.archive), target]
            done = self._call(arguments, LOAD_S)
            if done.returncode != 0:
                raise ImageError(f"{image.archive} can't be loaded: {said(done)}")
            if not self.has_image(image):
                raise ImageError(
                    f"Sarus has loaded {image.archive}, but doesn't list {loaded_reference(image)}"
                )
            self._compare(image)
        return True

    def _run(
        self, name: str, mounts: Sequence[str], image: Image, python: Sequence[str]
    ) -> list[str]:
        return [
            self._program, "run", *self._options, "--pid=private", "--init", "--name", name,
            *mounts, "--workdir=/", "--entrypoint", "", named(image),
            PYTHON_IN_CONTAINER, *python,
        ]  # fmt: skip

    def _repository(self) -> list[str]:
        return [CENTRALIZED] if CENTRALIZED in self._options else []

    def _call(
        self, arguments: Sequence[str], deadline_s: float
    ) -> subprocess.CompletedProcess[str]:
        return call([self._program, *arguments], self.environment(), deadline_s)

    def _compare(self, image: Image) -> None:
        """Raises ``ImageError`` unless what runs by the image's name is what its archive holds."""
        assert image.archive is not None
        name = f"hpc-runner-compare-{os.getpid()}-{secrets.token_hex(4)}"
        command = self._run(name, [], image, ["-I", "-B", "-c", contents.INSIDE])
        try:
            done = call(command, self.environment(), CHECK_S)
        except RuntimeFailure:
            self.kill(name)
            raise
        if done.returncode != 0:
            raise ImageError(f"{named(image)} doesn't run: {said(done)}")
        if found := contents.difference(contents.of_archive(image.archive), done.stdout):
            raise ImageError(
                f"Sarus has another image as {named(image)} than {image.archive}: {found};"
                f" remove it with: {self._program} rmi {named(image)}"
            )

    def _pid(self, name: str) -> int | None:
        """Of the container's first process, which is the caller's own; None if it has none."""
        done = self._call(["ps"], CALL_S)
        if done.returncode != 0:
            raise RuntimeFailure(f"containers can't be listed: {said(done)}")
        for line in done.stdout.splitlines():
            row = line.split()
            if row[:1] == [name] and row[2:3] != ["stopped"] and row[1].isdigit():
                return int(row[1]) or None
        return None

    def _end(self, name: str, pid: int) -> bool:
        """SIGHUP, and SIGKILL for what doesn't heed it; whether it was seen to end."""
        with _watched(pid) as gone:
            hung_up = self._call(["kill", name], CALL_S)
            if hung_up.returncode == 0:
                # It was still there after the watch began, so this is the process watched.
                if gone(HANGUP_S):
                    return True
            elif self._pid(name) != pid:
                return False
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return True
            except PermissionError as error:
                raise RuntimeFailure(f"container {name!r}: can't kill {pid}") from error
            return gone(KILLED_S)


def named(image: Image) -> str:
    """What ``sarus run`` calls an image."""
    return image.reference if _PULLED.fullmatch(image.reference) else loaded_reference(image)


def loaded_reference(image: Image) -> str:
    """Where ``sarus load`` puts an image, by a name that says what is in it, whatever name its
    archive has."""
    return f"load/library/hpc-runner-{image.name}:{image.digest.hex()[:12]}"


def _read_pulled(text: str) -> dict[str, str]:
    found = {}
    for word in text.split():
        name, equals, reference = word.partition("=")
        if not equals or not _PULLED.fullmatch(reference):
            raise ConfigError(
                f"{PULLED}: {word!r} is no NAME=REFERENCE with a digest, such as"
                " py311=registry.example/team/image@sha256:..."
            )
        found[name] = reference
    return found


def _bind(source: Path, target: str) -> str:
    if reason := _unmountable(source):
        raise ConfigError(f"{reason}; use another directory")
    return f"--mount=type=bind,src={source},dst={target},readonly"


def _unmountable(path: Path) -> str:
    """Why Sarus can't mount a path, if it can't: there is no quoting in its options."""
    if not path.is_absolute() or any(character in str(path) for character in ",="):
        return (
            f"Sarus can't mount {str(path)!r}: no relative path, and no comma or equals sign in it"
        )
    return ""


@contextlib.contextmanager
def _alone_on_this_node() -> Iterator[None]:
    """One process of this user on this machine at a time."""
    file = Path(tempfile.gettempdir()) / f"hpc-runner-sarus-{os.getuid()}.lock"
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImageError(f"{file} can't be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[Callable[[float], bool]]:
    """Gives a function that waits for so many seconds for a process to end, and says whether."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield lambda _: True
        return
    except OSError:  # a kernel before 5.3
        yield lambda seconds: _seen_to_end(pid, seconds)
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        yield lambda seconds: bool(poll.poll(1000 * seconds))
    finally:
        os.close(descriptor)


def _seen_to_end(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _being_started(name: str) -> bool:
    """A ``sarus run`` with this name is alive, though its container isn't there (yet)."""
    option = f"--name\0{name}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if option in (process / "cmdline").read_bytes():
                return True
    return False
