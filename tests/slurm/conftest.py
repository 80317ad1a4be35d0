"""A cluster that this process uses, and corpora for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusters import Cluster
from slow_programs import write_slow_corpus


@pytest.fixture
def here(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, for this process; what a test leaves in the queue is cancelled."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    yield cluster
    cluster.run("scancel", "--user=root")
    cluster.wait_for(lambda: not cluster.run("squeue", "-h"))


@pytest.fixture
def slow_corpus(tmp_path: Path) -> Callable[[int, float], Path]:
    """So many programs that are right and take so many seconds."""

    return functools.partial(write_slow_corpus, tmp_path / "slow.jsonl")
