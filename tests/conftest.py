"""For every test: the checkout, the data, a Slurm cluster; how hypothesis tries examples."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from clusters import DATABASE, Cluster, skip_without_slurm, started
from hypothesis import settings

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no bug, so examples have no deadline; CI tries the same ones every time.
settings.register_profile("project", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "project")

# No test finds what another one, or the user, has judged before; those of the cache name it.
os.environ["HPC_RUNNER_CACHE"] = "off"
os.environ["HPC_RUNNER_PATTERNS"] = "off"


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a public corpus that lies beside the checkout; skips the test where it doesn't."""

    def find(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return path

    return find


@pytest.fixture
def command(checkout: Path, tmp_path: Path) -> Callable[..., Run]:
    """Makes what calls `hpc-runner` as a user would, in a directory of the test's: with these
    first words, in this environment, and what is added to it."""

    def make(
        *first: object,
        environment: Mapping[str, str] = os.environ,
        timeout_s: float = 120,
        **added: str,
    ) -> Run:
        told = {**environment, "PYTHONPATH": str(checkout), "COLUMNS": "200", **added}

        def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "hpc_runner", *map(str, (*first, *words))],
                cwd=tmp_path,
                env={**told, **more},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )

        return run

    return make


@pytest.fixture
def golden(checkout: Path) -> Callable[[str, str], None]:
    """Compares with a file of tests/golden; UPDATE_GOLDEN=1 writes it anew."""

    def compare(name: str, text: str) -> None:
        path = checkout / "tests" / "golden" / name
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.write_text(text)
        assert text == path.read_text()

    return compare


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes of 8 CPUs and 4,000 MB; partitions main, lo, hi; no accounting."""
    skip_without_slurm()
    with started(tmp_path_factory.mktemp("slurm") / "c") as found:
        yield found


@pytest.fixture(scope="session")
def cluster_with_accounting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same with slurmdbd, so that sacct answers."""
    skip_without_slurm(*DATABASE)
    with started(tmp_path_factory.mktemp("slurm") / "d", "--accounting") as found:
        yield found
