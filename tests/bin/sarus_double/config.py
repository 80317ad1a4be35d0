"""Where the double keeps things, who called it, and how it says what goes wrong."""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

VERSION = "1.7.0-double"


class Refused(Exception):
    """Ends the program with exit code 1.  ``plain``: said as it is, without the log's prefix."""

    def __init__(self, message: str, *, plain: bool = True) -> None:
        super().__init__(message)
        self.plain = plain


@dataclass(frozen=True)
class Caller:
    """On whose behalf it runs."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def own(cls) -> Caller:
        return cls(os.getuid(), os.getgid(), tuple(os.getgroups()))

    @classmethod
    def parse(cls, text: str) -> Caller:
        uid, gid, groups = text.split(",")
        return cls(int(uid), int(gid), tuple(int(group) for group in groups.split(":") if group))

    def __str__(self) -> str:
        return f"{self.uid},{self.gid},{':'.join(map(str, self.groups))}"

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


@dataclass
class Config:
    """``etc/sarus.json``.  The first four keys are the real ones."""

    localRepositoryBaseDir: str = ""  # noqa: N815
    """The images of a user lie in ``<base>/<user>/.sarus``."""
    centralizedRepositoryDir: str = ""  # noqa: N815
    """Empty: ``--centralized-repository`` is refused, as where no site has one."""
    userMounts: dict[str, list[str]] = field(default_factory=dict)  # noqa: N815
    """``notAllowedPrefixesOfPath`` and ``notAllowedPaths``: refused as destinations."""
    OCIBundleDir: str = ""
    """An empty directory to mount the root file system in."""
    stateDir: str = ""  # noqa: N815
    """Instead of /run/runc: what runs, in a directory for each user."""
    startDelay: float = 0.0  # noqa: N815
    """Seconds before a container exists, so that its races can be met."""

    @classmethod
    def read(cls, program: str, caller: Caller) -> Config:
        file = Path(program).parent.parent / "etc" / "sarus.json"
        values: dict[str, Any] = {}
        if file.exists():
            values = json.loads(file.read_text(encoding="utf-8"))
        config = cls(**values)
        base = config.localRepositoryBaseDir or f"/var/tmp/sarus-double-{os.getuid()}"  # noqa: S108
        config.localRepositoryBaseDir = base
        if os.geteuid() != 0:  # who can't write where root does
            base = f"{base}/{caller.name}/.sarus"
            config.stateDir = config.OCIBundleDir = ""
        config.stateDir = config.stateDir or f"{base}/state"
        config.OCIBundleDir = config.OCIBundleDir or f"{base}/bundle"
        return config


class Log:
    """The real one's log.  What is below a warning goes to stdout, which is the program's too."""

    def __init__(self) -> None:
        self.verbose = False

    def info(self, message: str) -> None:
        if self.verbose:
            print(self._line("INFO", message), flush=True)

    def error(self, message: str) -> None:
        print(self._line("ERROR", message), file=sys.stderr, flush=True)

    @staticmethod
    def _line(level: str, message: str) -> str:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        where = f"[{now // 10**9}.{now % 10**9}] [{os.uname().nodename}-{os.getpid()}]"
        return f"{where} [main] [{level}] {message}"


LOG = Log()


def fail(message: str) -> NoReturn:
    """For what the real one reports as an error trace."""
    raise Refused(f"Error trace (most nested error last):\n#0   {message}", plain=False)
