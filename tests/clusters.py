"""What tests do with a private Slurm cluster: start it, ask it, break it, end it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "slurm" / "testcluster"
DATABASE = ("slurmdbd", "mariadbd")


def skip_without_slurm(*more: str) -> None:
    """Skip with the reason where there is no Slurm; in CI that is a failure."""
    path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    names = ("munged", "slurmctld", "slurmd", *more)
    missing = [name for name in names if not shutil.which(name, path=path)]
    reason = f"{', '.join(missing)} not installed" if missing else ""
    if os.geteuid() != 0:
        reason = "a private Slurm cluster needs root"
    if reason:
        assert not os.environ.get("CI"), f"CI must not skip this: {reason}"
        pytest.skip(reason)


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The project's script, whatever its exit code."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=180
    )


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.  Its commands never wait longer than ``timeout`` seconds."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without what an outer Slurm set, pointing at the cluster."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, "SLURM_CONF": str(self.root / "slurm.conf")}

    def control(self, command: str, *arguments: str) -> None:
        """``kill-node``, ``start-node``, ``restart``, ``restart-controller``."""
        done = script(command, self.root, *arguments)
        assert done.returncode == 0, done.stderr

    def run(self, *command: str | Path, timeout: float = 60) -> str:
        """stdout of a command that must succeed, such as ``run("squeue", "-h")``."""
        done = subprocess.run(
            list(map(str, command)),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def does(self, *command: str | Path) -> bool:
        """Whether a command of Slurm's succeeds: a job may have ended meanwhile."""
        asked = list(map(str, command))
        return not subprocess.run(
            asked, env=self.environment, capture_output=True, check=False, timeout=60
        ).returncode

    def sbatch(self, *arguments: str | Path) -> int:
        """Submit; the job's id."""
        return int(self.run("sbatch", "--parsable", *arguments).partition(";")[0])

    def states(self, job: int) -> list[str]:
        """Of each array task of a job that Slurm still knows (for ten minutes after its end)."""
        return self.run("squeue", "-hr", "-t", "all", "-j", str(job), "-o", "%T").split()

    def wait_for(self, condition: Callable[[], object], timeout: float = 60) -> None:
        """Until it holds; fails with what Slurm shows when it takes longer."""
        deadline = time.monotonic() + timeout
        while not condition():
            queue = self.run("squeue") if time.monotonic() > deadline else ""
            assert time.monotonic() <= deadline, f"not within {timeout:g} s:\n{queue}"
            time.sleep(0.1)

    def wait_for_end(self, job: int, timeout: float = 60) -> list[str]:
        """Wait until no array task of a job waits or runs; their states."""
        waiting = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"}
        self.wait_for(lambda: not waiting & set(self.states(job)), timeout)
        return self.states(job)


@contextmanager
def started(root: Path, *options: str) -> Iterator[Cluster]:
    """A cluster in ``root`` (absent or empty) that ends with the context."""
    begun = script("up", root, *options)
    assert begun.returncode == 0, begun.stderr
    try:
        yield Cluster(root)
    finally:
        ended = script("down", root)
        assert ended.returncode == 0, ended.stderr
