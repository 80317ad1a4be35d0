"""What is said to Slurm about coordinators, and what is kept of their chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_runner.errors import RunError
from hpc_runner.pipeline.chain import (
    Record,
    chain_name,
    coordinator_options,
    coordinator_script,
    read_record,
    write_record,
)
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.rundir import RunDir

PROFILE = Profile.model_validate(
    {
        "partition": "normal",
        "account": "p1",
        "qos": "big",
        "exclude": ["n7"],
        "time": "04:00:00",
        "requeue": False,
        "python": "/opt/py/bin/python3",
        "sbatch": ["--exclusive", "--mail-type=END"],
        "setup": ["module load python"],
        "coordinator": {"partition": "debug", "time": 30},
    }
)


def test_a_coordinators_job_is_as_expected(golden: Callable[[str, str], None]) -> None:
    run = RunDir(Path("/data/my run"))
    options = "\n".join(coordinator_options(run, PROFILE))
    golden("coordinator.sbatch", f"{options}\n{coordinator_script(run, PROFILE)}")


def test_the_name_follows_from_the_place(tmp_path: Path) -> None:
    assert chain_name(RunDir(tmp_path)) == chain_name(RunDir(tmp_path))
    assert chain_name(RunDir(tmp_path)) != chain_name(RunDir(tmp_path / "x"))


def test_the_record_is_kept(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert read_record(run) is None
    record = Record(config={"corpus": ["x"]}, starts=3, progress="1", stopped="no")
    write_record(run, record)
    assert read_record(run) == record
    run.chain.write_text('{"other": 1}')
    with pytest.raises(RunError, match="can't be read by this version"):
        read_record(run)
