"""A submission by a process of its own: what it is started with, and how it may fail."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from made_plans import until

from hpc_runner.errors import SchedulerBusy, SchedulerError, SchedulerFull
from hpc_runner.pipeline.arrays import Array, new_array, pickle_path, write_array
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.submission import job_script, submit_array
from hpc_runner.rundir import RunDir

SBATCH = """
import json, os, sys
told = {told!r}
script = open(sys.argv[-1]).read()
open(told, "w").write(json.dumps([script, dict(os.environ)]))
{does}
"""


@pytest.fixture
def array(tmp_path: Path) -> tuple[RunDir, Array]:
    run = RunDir(tmp_path / "run")
    made = new_array(run, "id", 0, 0, [5, 6, 7], Profile(partition="p"))
    write_array(run, made)
    return run, made


def install(where: Path, does: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sbatch, and an srun that submitit looks for."""
    told = where / "told"
    for name in ("sbatch", "srun"):
        program = where / name
        program.write_text(f"#!{sys.executable}\n{SBATCH.format(told=str(told), does=does)}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{where}:{os.environ['PATH']}")
    return told


def test_each_task_has_what_it_needs_and_no_secret(
    tmp_path: Path, array: tuple[RunDir, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "hush")
    monkeypatch.setenv("SBATCH_PARTITION", "other")
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    told = install(tmp_path, "print('Submitted batch job 77')", monkeypatch)
    assert submit_array(*array) == 77
    script, environ = json.loads(told.read_text())
    assert "#SBATCH --array=0-2%3\n" in script
    assert "hush" not in json.dumps(environ)
    assert not {"SBATCH_PARTITION", "SLURM_JOB_ID"} & environ.keys()
    folder = array[0].array_files(0, 0)
    mine = [(folder / f"77_{index}_submitted.pkl").read_bytes() for index in range(3)]
    assert set(mine) == {pickle_path(*array).read_bytes()}


@pytest.mark.parametrize(
    ("does", "kind"),
    [
        ("sys.exit('sbatch: error: invalid partition specified: p')", SchedulerError),
        ("sys.exit('sbatch: error: AssocMaxSubmitJobLimit')", SchedulerFull),
        ("sys.exit('Socket timed out on send/recv operation')", SchedulerBusy),
        ("os.kill(os.getppid(), 9)", SchedulerBusy),
        ("print('hello')", SchedulerError),
    ],
)
def test_how_sbatch_fails(
    tmp_path: Path,
    array: tuple[RunDir, Array],
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    kind: type[SchedulerError],
) -> None:
    install(tmp_path, does, monkeypatch)
    with pytest.raises(SchedulerError) as caught:
        submit_array(*array)
    assert type(caught.value) is kind


def test_an_sbatch_that_does_not_answer_is_ended(
    tmp_path: Path, array: tuple[RunDir, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = install(
        tmp_path,
        "open(told, 'w').write(str(os.getpid())); import time; time.sleep(60)",
        monkeypatch,
    )
    began = time.monotonic()
    with pytest.raises(SchedulerBusy, match="no answer in 5 s"):
        submit_array(*array, deadline_s=5)
    assert time.monotonic() - began < 30
    until(lambda: not Path(f"/proc/{told.read_text()}/exe").exists())  # a zombie has none


def test_the_job_script_is_what_sbatch_gets(
    tmp_path: Path, array: tuple[RunDir, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = job_script(*array)
    assert not array[0].array_files(0, 0).exists()
    told = install(tmp_path, "print('Submitted batch job 77')", monkeypatch)
    submit_array(*array)
    assert json.loads(told.read_text())[0] == shown
