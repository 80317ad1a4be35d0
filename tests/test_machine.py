"""Cores and memory that are really ours, read from made /proc and /sys trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc_runner.machine import Cores, cores, memory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       8388608 kB\nMemFree: 1 kB\n")
    return tmp_path


def group(root: Path, name: str, **files: str) -> None:
    directory = root / "sys/fs/cgroup" / name
    directory.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (directory / file.replace("__", ".")).write_text(text + "\n")


def test_the_tightest_quota_above_us_counts_in_v2(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/job/step\n")
    group(root, "job", cpu__max="150000 100000", memory__max="1073741824")
    group(root, "job/step", cpu__max="max 100000", memory__max="max")
    assert cores({}, root).quota == 1.5
    assert memory({}, root).cgroup == 2**30


def test_the_quota_of_v1(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("5:cpu,cpuacct:/job\n4:memory:/job\n")
    group(root, "cpu,cpuacct/job", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    group(root, "memory/job", memory__limit_in_bytes="536870912")
    assert cores({}, root).quota == 0.5
    assert memory({}, root).cgroup == 2**29


def test_no_limit_is_no_limit(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("5:cpu:/\n4:memory:/\n")
    group(root, "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    group(root, "memory", memory__limit_in_bytes="9223372036854771712")
    assert cores({}, root).quota is None
    found = memory({}, root)
    assert (found.cgroup, found.usable) == (None, 8 << 30)


def test_a_container_sees_only_the_root_of_its_group(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/docker/0123\n")
    group(root, "", cpu__max="200000 100000")
    assert cores({}, root).quota == 2.0


def test_slurm_counts(root: Path) -> None:
    assert cores({"SLURM_CPUS_ON_NODE": "64", "SLURM_CPUS_PER_TASK": "4"}, root).slurm == 4
    assert cores({"SLURM_CPUS_ON_NODE": "16(x2)"}, root).slurm is None
    assert memory({"SLURM_MEM_PER_NODE": "2048"}, root).usable == 2 << 30
    given = {"SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_PER_TASK": "4"}
    assert memory(given, root).slurm == 2 << 30


@pytest.mark.parametrize(
    ("limits", "usable"),
    [
        ((64, 64, None, None), 64),
        ((64, 8, None, None), 8),
        ((64, 64, 1.5, None), 2),
        ((64, 64, 0.5, None), 1),
        ((64, 64, 32.0, 4), 4),
        ((64, 2, None, 16), 2),
    ],
)
def test_the_least_limit_is_what_we_use(
    limits: tuple[int, int, float | None, int | None], usable: int
) -> None:
    assert Cores(*limits).usable == usable
