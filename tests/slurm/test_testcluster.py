"""slurm/testcluster: a cluster that works, dies as clusters do, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import DATABASE, PROGRAM, Cluster, script, skip_without_slurm, started


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A directory for a cluster that the test starts; ended in any case."""
    skip_without_slurm()
    root = tmp_path / "own"
    yield root
    script("down", root)


def left_of(root: Path) -> list[str]:
    """Processes that carry the cluster's directory, its control groups and its mounts."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if bytes(root) + b"/" in text and process.name != str(os.getpid()):
            found.append(f"{process.name}: {(process / 'comm').read_text().strip()}")
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line]
    for group in Path("/sys/fs/cgroup").glob("*/testcluster-*"):
        if (Path(root) / "cgroup" / group.parent.name).resolve() == group.resolve():
            found.append(str(group))
    return found


def groups_of(root: Path) -> list[Path]:
    """Where the cluster's control groups are while it runs."""
    return [link.resolve() for link in (root / "cgroup").iterdir()]


def test_it_runs_jobs_and_arrays_on_four_nodes(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.run("sinfo", "-hN", "-p", "main", "-o", "%N").split() == ["n1", "n2", "n3", "n4"]
    assert set(cluster.run("sinfo", "-h", "-o", "%P").split()) == {"main*", "lo", "hi"}
    where = cluster.run("srun", "-N4", "-n4", "printenv", "SLURMD_NODENAME").split()
    assert sorted(where) == ["n1", "n2", "n3", "n4"]
    job = cluster.sbatch("-a", "0-7", "-o", tmp_path / "%a", "--wrap", "echo $SLURM_ARRAY_TASK_ID")
    assert cluster.wait_for_end(job) == ["COMPLETED"] * 8
    assert [(tmp_path / str(index)).read_text() for index in range(8)] == [
        f"{i}\n" for i in range(8)
    ]


def test_a_job_that_takes_too_much_memory_is_ended(cluster: Cluster) -> None:
    if not groups_of(cluster.root):
        pytest.skip("no cgroup v1 here, so no memory limits")
    job = cluster.sbatch(
        "-o", "/dev/null", "--mem=50", "--wrap", "exec python3 -c 'bytearray(400 << 20)'"
    )
    assert cluster.wait_for_end(job) == ["OUT_OF_MEMORY"]


def test_nothing_is_left_when_it_goes_down_with_jobs(own: Path) -> None:
    with started(own) as cluster:
        job = cluster.sbatch("-a", "0-3", "-o", "/dev/null", "--wrap", "setsid sleep 500 & wait")
        cluster.wait_for(lambda: cluster.states(job) == ["RUNNING"] * 4)
        groups = groups_of(own)
        assert left_of(own)
    assert left_of(own) == []
    assert not [group for group in groups if group.exists()]
    assert not own.exists()
    assert script("down", own).returncode == 0, "again, when there is nothing"


def test_what_was_killed_or_removed_is_no_hindrance(own: Path) -> None:
    """After `kill -9` of its daemons, and after somebody removed its directory."""
    with started(own, "--nodes", "2") as cluster:
        job = cluster.sbatch("-o", "/dev/null", "--wrap", "sleep 500")
        cluster.wait_for(lambda: cluster.states(job) == ["RUNNING"])
        for file in (own / "run").glob("*.pid"):
            os.kill(int(file.read_text()), signal.SIGKILL)
        assert script("status", own).returncode == 1
        assert script("up", own, "--nodes", "2").returncode == 0
        assert cluster.run("squeue", "-h") == "", "a new cluster knows no old job"
        groups = groups_of(own)
        shutil.rmtree(own)
        assert left_of(own)
        assert script("down", own).returncode == 0
        assert left_of(own) == []
        assert not [group for group in groups if group.exists()]


def test_a_second_up_finds_the_first(own: Path) -> None:
    with started(own, "--nodes", "2"):
        again = script("up", own, "--nodes", "2")
        assert again.stdout == f"export SLURM_CONF={own}/slurm.conf\n" == script("env", own).stdout
        other = script("up", own, "--nodes", "3")
        assert other.returncode == 2
        assert "`down` ends it" in other.stderr


def test_of_two_that_start_at_once_one_starts(own: Path) -> None:
    starts = [
        subprocess.Popen([PROGRAM, "up", own, "--nodes", "1"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=120)[0] for process in starts}
    assert said == {f"export SLURM_CONF={own}/slurm.conf\n"}
    assert [process.returncode for process in starts] == [0, 0]
    assert Cluster(own).run("sinfo", "-hN", "-p", "main", "-o", "%N %T") == "n1 idle\n"


def test_clusters_live_side_by_side(own: Path, cluster: Cluster) -> None:
    """Same node names and job ids; ending one doesn't touch the other."""
    with started(own, "--nodes", "1", "--set", "MaxArraySize=11") as second:
        kept = cluster.sbatch("-w", "n1", "-o", "/dev/null", "--wrap", "sleep 500")
        lost = second.sbatch("-w", "n1", "-o", "/dev/null", "--wrap", "sleep 500")
        second.wait_for(lambda: second.states(lost) == ["RUNNING"])
        assert "MaxArraySize            = 11\n" in second.run("scontrol", "show", "config")
    assert cluster.states(kept) == ["RUNNING"]
    cluster.run("scancel", str(kept))


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    skip_without_slurm()
    (tmp_path / "thesis.tex").touch()
    for command in ("up", "down", "env", "status"):
        assert script(command, tmp_path).returncode == 2, command
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert script("kill-node", tmp_path, "n1").returncode == 2


def test_a_node_dies_and_comes_back(own: Path) -> None:
    """Slurm says RUNNING for some time after a job's death, then requeues it under its id."""
    with started(own, "--nodes", "2", "--set", "SlurmdTimeout=6") as cluster:
        job = cluster.sbatch("-w", "n2", "-o", "/dev/null", "--requeue", "--wrap", "sleep 500")
        cluster.wait_for(lambda: "sleep" in commands_below(own))
        cluster.control("kill-node", "n2")
        assert "sleep" not in commands_below(own)
        assert cluster.states(job) == ["RUNNING"]
        cluster.wait_for(lambda: cluster.states(job)[0] in ("COMPLETING", "PENDING"))
        assert cluster.run("sinfo", "-hn", "n2", "-o", "%t").split()[0].endswith("*")
        cluster.control("start-node", "n2")
        assert not cluster.run("sinfo", "-hn", "n2", "-o", "%t").split()[0].endswith("*")
        assert script("kill-node", own, "n3").returncode == 2


def commands_below(root: Path) -> set[str]:
    """Names of what runs in jobs of the cluster."""
    variable = f"SLURM_CONF={root}/slurm.conf".encode()
    names = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            if variable in variables and any(v.startswith(b"SLURM_JOB_ID=") for v in variables):
                names.add((process / "comm").read_text().strip())
        except OSError:
            continue
    return names


@pytest.mark.parametrize("how", [["restart"], ["restart-controller", "--kill"]])
def test_jobs_outlive_a_restart(own: Path, how: list[str]) -> None:
    with started(own, "--nodes", "1") as cluster:
        before = (own / "run" / "slurmctld.pid").read_text()
        job = cluster.sbatch("-o", "/dev/null", "--wrap", "sleep 500")
        cluster.wait_for(lambda: cluster.states(job) == ["RUNNING"])
        cluster.control(*how)
        assert (own / "run" / "slurmctld.pid").read_text() != before
        # A controller that is killed has forgotten what it did in the last seconds.
        assert cluster.states(job) == ["RUNNING"] or "--kill" in how
        assert "sleep" in commands_below(own) or "--kill" in how


def test_without_control_groups_nothing_is_left_either(own: Path) -> None:
    with started(own, "--no-cgroups", "--nodes", "2") as cluster:
        job = cluster.sbatch("-N2", "-o", "/dev/null", "--wrap", "srun sleep 500")
        cluster.wait_for(lambda: "sleep" in commands_below(own))
        cluster.control("kill-node", "n2")
        assert cluster.states(job) == ["RUNNING"]
    assert left_of(own) == []


def test_sacct_answers_with_accounting(cluster_with_accounting: Cluster) -> None:
    skip_without_slurm(*DATABASE)
    cluster = cluster_with_accounting
    job = cluster.sbatch("-a", "0-1", "-o", "/dev/null", "--wrap", "exit $SLURM_ARRAY_TASK_ID")
    cluster.wait_for_end(job)

    def told() -> list[str]:
        return cluster.run("sacct", "-nXP", "-j", str(job), "-o", "JobID,State").split()

    cluster.wait_for(lambda: sorted(told()) == [f"{job}_0|COMPLETED", f"{job}_1|FAILED"])
