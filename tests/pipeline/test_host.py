"""Where this machine stands to a cluster, and one command on a node of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_runner.config import LimitOverrides
from hpc_runner.errors import SchedulerBusy, SchedulerError
from hpc_runner.machine import Allocation
from hpc_runner.model import Limits
from hpc_runner.pipeline.host import Place, find_host, fitting
from hpc_runner.pipeline.on_node import on_node, srun_command
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.slurm import Slurm

CONFIG = "Configuration data as of 2026-11-24T12:00:00\nClusterName             = hs\n"

Programs = Callable[..., Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Makes programs that are all there is on PATH but the shell's; returns where they are."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("SLURM_JOB_ID", "SLURM_JOBID", "SLURMD_NODENAME"):
        monkeypatch.delenv(name, raising=False)

    def make(**bodies: str) -> Path:
        for name in ("scontrol", "srun", "squeue", "scancel"):
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\n{bodies.get(name, 'exit 1')}\n")
            program.chmod(0o755)
        return tmp_path

    return make


# Where we are


def test_without_slurm_it_is_a_workstation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_host({})
    assert (found.place, found.cluster, found.allocation) == (Place.WORKSTATION, None, None)
    assert not found.mend


def test_where_slurm_answers_it_is_a_login_node(programs: Programs) -> None:
    programs(scontrol=f"echo '{CONFIG}'")
    found = find_host({})
    assert (found.place, found.cluster) == (Place.LOGIN, "hs")
    assert "we are in no job" in found.why and not found.mend


def test_a_shell_with_an_allocation_is_not_on_its_nodes(programs: Programs) -> None:
    programs(scontrol=f"echo '{CONFIG}'")
    found = find_host({"SLURM_JOB_ID": "7", "SLURM_JOB_PARTITION": "main"})
    assert found.place is Place.LOGIN
    assert "this shell holds job 7" in found.why
    assert found.allocation == Allocation("7", None, "main", None, None, 0)


def test_in_a_job_slurm_is_not_asked(programs: Programs, tmp_path: Path) -> None:
    programs(scontrol=f"touch {tmp_path}/asked")
    found = find_host({"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SLURM_CLUSTER_NAME": "hs"})
    assert (found.place, found.cluster) == (Place.COMPUTE, "hs")
    assert found.allocation is not None and found.allocation.node == "n1"
    assert not (tmp_path / "asked").exists()


def test_a_controller_that_is_gone_is_told_with_what_to_do(programs: Programs) -> None:
    programs(
        scontrol="echo 'slurm_load_ctl_conf error: Unable to contact slurm controller' >&2; exit 1"
    )
    found = find_host({})
    assert found.place is Place.LOGIN and "Unable to contact" in found.why
    assert found.mend


def test_slurm_that_is_installed_and_not_configured_makes_no_login_node(
    programs: Programs,
) -> None:
    programs(scontrol="echo 'fatal: Could not establish a configuration source' >&2; exit 1")
    found = find_host({})
    assert (found.place, found.cluster) == (Place.WORKSTATION, None)
    assert "Could not establish" in found.why and "nothing is missing" in found.mend


def test_larger_limits_leave_room_for_fewer() -> None:
    small = fitting()
    assert small.by_memory is not None, "this machine's memory is known"
    large = LimitOverrides(memory_bytes=8 << 30).apply(Limits())
    found = fitting(large)
    assert found.by_memory is not None and found.by_memory < small.by_memory
    assert found.slots <= small.slots


# A command on a node


def test_the_srun_command() -> None:
    profile = Profile.model_validate(
        {
            "partition": "main",
            "account": "p1",
            "constraint": "mc",
            "exclude": ["n7", "n8"],
            "memory": "2G",
            "cpus_per_task": 4,
            "sbatch": ["--exclusive"],
            "srun": ["--cpu-bind=none"],
            "setup": ["module load sarus", "export A=1"],
            "python": "$HOME/venv/bin/python",
        }
    )
    assert srun_command(["doctor", "--json"], profile, name="me", time_min=5) == [
        "srun",
        "--job-name=me",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=4",
        "--time=5",
        "--input=none",
        "--partition=main",
        "--account=p1",
        "--constraint=mc",
        "--exclude=n7,n8",
        "--mem=2048M",
        "--exclusive",
        "--cpu-bind=none",
        "bash",
        "-c",
        'exec 3>&1 1>&2\nmodule load sarus\nexport A=1\nexec $HOME/venv/bin/python "$@" 1>&3 3>&-',
        "hpc-runner",
        "-P",
        "-m",
        "hpc_runner",
        "doctor",
        "--json",
    ]
    ours = srun_command(["doctor"], Profile(), name="me", time_min=5)
    assert f"exec {sys.executable} " in ours[ours.index("-c") + 1]


def test_its_stdout_is_the_command_s_alone_and_no_secret_goes_there(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "node-python"
    python.write_text(
        '#!/bin/sh\nprintf "%s|" "$@"; echo "$SITE $SECRET_KEY $SLURM_ARRAY_TASK_ID"\n'
    )
    python.chmod(0o755)
    monkeypatch.setenv("SECRET_KEY", "sk-123")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    programs(srun='while [ "$1" != bash ]; do shift; done; exec "$@"')
    profile = Profile(python=str(python), setup=("echo loading",), environment={"SITE": "alps"})
    said = on_node(["doctor"], profile, deadline_s=20, time_min=1)
    assert said == "-P|-m|hpc_runner|doctor|alps  \n"


def test_what_the_command_says_of_its_failure_is_kept(programs: Programs) -> None:
    programs(srun="echo 'hpc-runner: no such image' >&2; exit 2")
    with pytest.raises(SchedulerError, match=r"exit code 2\): hpc-runner: no such image"):
        on_node(["image", "load"], Profile(), deadline_s=20, time_min=1)


def test_at_the_deadline_its_job_is_cancelled(programs: Programs, tmp_path: Path) -> None:
    columns = [20, 20, 20, 20, 8, 12, 64, 64]
    values = ["77", "N/A", "77", "PENDING", "0", "0", "", "Resources"]
    start = "".join(f"{value:<{width}}|" for value, width in zip(values, columns, strict=True))
    programs(
        srun=f'for word; do case $word in --job-name=*) echo "${{word#*=}}" > {tmp_path}/name;;'
        " esac; done; exec sleep 60",
        squeue=f"printf '%s%-128s|\\n' '{start}' \"$(cat {tmp_path}/name)\"",
        scancel=f'echo "$@" >> {tmp_path}/cancelled',
    )
    with pytest.raises(SchedulerBusy, match=r"job 77 was PENDING \(Resources\) and is cancelled"):
        on_node(["doctor"], Profile(), deadline_s=0.5, time_min=1)
    assert (tmp_path / "cancelled").read_text() == "77\n"


def test_when_nobody_answers_it_says_what_is_left_to_do(programs: Programs) -> None:
    programs(srun="exec sleep 60", squeue="exec sleep 60")
    with pytest.raises(SchedulerBusy, match=r"is not known .*scancel --name=hpcr-on-node-"):
        on_node(["doctor"], Profile(), deadline_s=0.3, time_min=1, slurm=Slurm(deadline_s=0.3))


def test_fields_of_the_queue_are_those_that_are_asked_for() -> None:
    """The row made above is what a real squeue prints, by its format."""
    from hpc_runner.pipeline.slurm import queue_command

    assert "Reason:64|,Name:128|" in queue_command(0)[-1]
    assert json.dumps(queue_command(0)).count(":20|") == 4
