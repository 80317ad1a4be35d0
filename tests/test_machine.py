"""Cores and memory that are really ours, read from made /proc and /sys trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.machine import Allocation, Cores, Memory, allocation, cores, memory, room


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


def test_no_job_is_no_allocation() -> None:
    assert allocation({"SLURM_CONF": "/etc/slurm.conf", "SLURM_JOB_ID": ""}) is None


def test_the_allocation_of_an_array_task() -> None:
    environ = {
        "SLURM_JOB_ID": "4711",
        "SLURM_ARRAY_JOB_ID": "4700",
        "SLURM_ARRAY_TASK_ID": "11",
        "SLURMD_NODENAME": "n3",
        "SLURM_JOB_PARTITION": "main",
        "SLURM_CPUS_PER_TASK": "4",
        "SLURM_MEM_PER_NODE": "2048",
        "SLURM_RESTART_COUNT": "2",
    }
    assert allocation(environ) == Allocation("4700_11", "n3", "main", 4, 2 << 30, 2)


def test_a_shell_that_holds_an_allocation_of_other_nodes() -> None:
    found = allocation({"SLURM_JOBID": "5", "SLURM_NNODES": "2"})
    assert found == Allocation("5", None, None, None, None, 0)


@given(
    st.integers(1, 512),
    st.none() | st.integers(0, 1 << 42),
    st.integers(1 << 20, 1 << 36),
    st.integers(0, 1 << 32),
)
def test_what_fits_uses_no_more_than_is_ours(
    count: int, usable: int | None, slot_bytes: int, spare_bytes: int
) -> None:
    found = room(
        Cores(count, count, None, None), Memory(usable, None, None), slot_bytes, spare_bytes
    )
    assert 1 <= found.slots <= count == found.by_cores
    if found.slots > 1 and usable:
        assert found.slots * slot_bytes + spare_bytes <= usable
    if usable and found.slots < count:
        assert (found.slots + 1) * slot_bytes + spare_bytes > usable
    if not usable:
        assert found.by_memory is None and found.slots == count
