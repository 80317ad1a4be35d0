"""A Sarus for tests: the double in ``tests/bin``, or a real one that HPC_RUNNER_SARUS names.

Nothing here is a test, and nothing needs pytest: other suites may start from ``prepared``.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_runner.errors import HpcRunnerError
from hpc_runner.sandbox.sarus import PROGRAM, SarusRuntime
from hpc_runner.sandbox.spec import Image

DOUBLE = Path(__file__).parents[1] / "bin"
USER = 64013
"""An ordinary user of this machine who owns nothing."""
DEADLINE_S = 120.0


class Unavailable(Exception):
    """No Sarus can be had here: the reason."""


@dataclass(frozen=True)
class SarusHost:
    """A program that is, or behaves as, ``sarus``, with an image in its repository."""

    program: str
    double: bool
    image: Image
    """Loaded for whoever runs the tests."""
    top: Path
    """A directory that every user can read, for files that containers or other users see."""
    prefix: list[str] = field(default_factory=list)
    """What calls of ``run`` and ``start`` begin with: ``as_user()`` or nothing."""

    def runtime(self, **options: Any) -> SarusRuntime:
        return SarusRuntime(self.program, **options)

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """``sarus ARGUMENTS`` with a deadline and nothing on stdin."""
        options = {"stdin": subprocess.DEVNULL, "text": True, **options}
        if "input" in options:
            del options["stdin"]
        return subprocess.run(
            [*self.prefix, self.program, *arguments],
            capture_output=True, timeout=DEADLINE_S, check=False, **options,
        )  # fmt: skip

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """``sarus run --pid=private --init ARGUMENTS`` with pipes."""
        command = [*self.prefix, self.program, "run", "--pid=private", "--init", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, **options)


def as_user(uid: int = USER) -> list[str]:
    """What root begins a command with that an ordinary user shall run, for whom the double is
    as a setuid program: the two capabilities let it become root, and its caller do nothing
    with what belongs to root."""
    capabilities = "+setuid,+setgid"
    return [
        "/usr/bin/setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
        f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", "--",
    ]  # fmt: skip


def as_plain_user(uid: int = USER) -> list[str]:
    """The same without the capabilities."""
    return ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that every user can read and that isn't below /tmp."""
    top = Path(tempfile.mkdtemp(prefix="sarus-of-tests-", dir="/var/tmp"))
    try:
        top.chmod(0o755)
        yield top
    finally:
        subprocess.run(["rm", "-rf", str(top)], check=True)


def install(top: Path, **config: Any) -> str:
    """The double below ``top``, as a site would install Sarus; its program."""
    shutil.copytree(DOUBLE, top / "bin", ignore=shutil.ignore_patterns("__pycache__"))
    program = top / "bin" / "sarus"
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    text = program.read_text(encoding="utf-8").partition("\n")[2]
    program.write_text(f"#!{python} -IS\n{text}", encoding="utf-8")
    subprocess.run([python, "-m", "compileall", "-q", str(top / "bin")], check=True)
    (top / "etc").mkdir()
    (top / "repositories").mkdir()
    (top / "repositories").chmod(0o1777)
    settings = {"localRepositoryBaseDir": str(top / "repositories"), **config}
    (top / "etc" / "sarus.json").write_text(json.dumps(settings), encoding="utf-8")
    return str(program)


@contextlib.contextmanager
def prepared(name: str = "py311") -> Iterator[SarusHost]:
    """A Sarus with the image of a recipe.  Raises ``Unavailable``."""
    with scratch() as top:
        real = os.environ.get(PROGRAM)
        program = real or install(top)
        runtime = SarusRuntime(program)
        found = runtime.available()
        if not found.ok:
            raise Unavailable(f"no Sarus: {found.reason}; {found.mend}")
        try:
            image = runtime.ensure_image(name, print)
        except HpcRunnerError as error:
            raise Unavailable(f"no Sarus: {error}") from error
        assert image is not None and image.archive is not None
        yield SarusHost(program, not real, image, top)


def archive_for_everyone(host: SarusHost) -> Path:
    """The image's archive where an ordinary user can read it."""
    assert host.image.archive is not None
    copy = host.top / "images" / host.image.archive.name
    if not copy.exists():
        copy.parent.mkdir()
        try:
            os.link(host.image.archive, copy)
        except OSError:
            shutil.copy(host.image.archive, copy)
    return copy


def load(host: SarusHost) -> None:
    """Load the image for whoever calls through ``host``."""
    target = reference(host).removeprefix("load/library/")
    done = host.run("load", str(archive_for_everyone(host)), target)
    assert done.returncode == 0, done.stderr


def share(host: SarusHost, other: SarusHost) -> None:
    """Give an empty double the image: by links where it comes from a double, by loading if not."""
    if not host.double:
        other.runtime().load(host.image, print)
        return
    name = pwd.getpwuid(os.getuid()).pw_name
    source, target = (each.top / "repositories" / name for each in (host, other))
    target.mkdir()
    subprocess.run(["cp", "-al", str(source / ".sarus"), str(target)], check=True)


def reference(host: SarusHost) -> str:
    """What ``sarus run`` calls the image."""
    return f"load/library/hpc-runner-{host.image.name}:{host.image.digest.hex()[:12]}"


def configure(host: SarusHost, **settings: object) -> None:
    """Change the configuration of a double that nobody else uses."""
    file = host.top / "etc" / "sarus.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def inside(host: SarusHost, script: str, *options: str, **more: object) -> str:
    """stdout of a shell script in a container, which ends with 0."""
    done = host.run(
        "run", "--pid=private", "--init", *options, reference(host), "sh", "-c", script, **more
    )
    assert done.returncode == 0, done.stderr
    assert isinstance(done.stdout, str)
    return done.stdout


def python_of_user(checkout: Path) -> list[str]:
    """Begins a command of an ordinary user with a Python that has what this one has.  Raises
    ``Unavailable`` where the user can't read that."""
    minor = "import sys; assert sys.version_info[:2] == (%d, %d); import hpc_runner.cli"
    places = [checkout, checkout / "tests" / "sandbox", sysconfig.get_path("purelib")]
    path = ":".join(map(str, places))
    for python in (sys.executable, "/usr/bin/python3"):
        command = [*as_user(), "/usr/bin/env", f"PYTHONPATH={path}", python]
        probe = [*command, "-c", minor % sys.version_info[:2]]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return command
    raise Unavailable("an ordinary user can't run the Python of the tests")
