"""What an array task does when it is told to stop: as a process, among programs that stand in
for Slurm's."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_slurm import line
from made_plans import until
from slow_programs import write_slow_corpus

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.arrays import ending_path, new_array, write_array
from hpc_runner.pipeline.chain import Record, write_record
from hpc_runner.pipeline.plan import plan
from hpc_runner.pipeline.profile_files import write_profile
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.scheduler import EXIT_STOPPED, EXIT_TIME_UP
from hpc_runner.pipeline.slurm import Job
from hpc_runner.rundir import RunDir

HOME = Path(__file__).resolve().parents[2]
CODE = "import sys; from hpc_runner.pipeline.array_task import main; main({root!r}, 0, 0)"

# requeue ends the job, as slurmctld does; the process that asks is all that there is of it.
SCONTROL = """
import os, signal, sys
open({told!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
os.kill(os.getppid(), signal.SIGTERM)
"""


class Site:
    """A run of one shard, the array that it is in, and Slurm's programs."""

    def __init__(self, where: Path, candidates: int, seconds: float) -> None:
        self.told = where / "told"
        self.programs = where / "bin"
        self.programs.mkdir()
        corpus = write_slow_corpus(where / "corpus.jsonl", candidates, seconds)
        self.run = RunDir(where / "run")
        values = {"corpus": (str(corpus),), "runtime": "local", "slots": 2, "rounds": 2}
        plan(self.run, RunConfig.parse(values), progress=lambda _: None)
        array = new_array(self.run, "id", 0, 0, [0], Profile())
        self.array = replace(array, job_id=7)
        write_array(self.run, self.array)
        self.install("scontrol", SCONTROL.format(told=str(self.told)))
        self.slurm_says("RUNNING")

    def install(self, name: str, code: str) -> None:
        program = self.programs / name
        program.write_text(f"#!{sys.executable}\n{code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def slurm_says(self, state: str) -> None:
        job = Job(7, 0, 7, self.array.name, state, 0, 0, "n1", "None")
        self.install("squeue", f"print({line(job)!r})")

    def start(self, restarts: int = 0) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CODE.format(root=str(self.run.root))],
            env={
                **os.environ,
                "PYTHONPATH": str(HOME),
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "SLURM_ARRAY_TASK_ID": "0",
                "SLURM_JOB_ID": "7",
                "SLURM_RESTART_COUNT": str(restarts),
                "SLURMD_NODENAME": "n1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ending(self, restarts: int = 0) -> dict[str, object] | None:
        path = ending_path(self.run, self.array, 0, restarts)
        return json.loads(path.read_text()) if path.exists() else None

    def rows(self) -> int:
        """Of the result; each key once."""
        table = pq.read_table(self.run.result(0, 0), columns=["candidate_id", "round"])
        keys = set(zip(*(column.to_pylist() for column in table.columns), strict=True))
        assert len(keys) == table.num_rows
        return table.num_rows


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    return lambda candidates=4, seconds=0.3: Site(tmp_path, candidates, seconds)


def end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def test_a_shard_is_run_and_nothing_else_is_left(site: Callable[..., Site]) -> None:
    made = site(seconds=0)
    assert end(made.start()) == 0
    assert made.rows() == 8
    assert made.ending() is None
    assert end(made.start()) == 0  # there is nothing to do


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_told_to_stop_it_commits_and_has_itself_requeued(
    site: Callable[..., Site], number: signal.Signals
) -> None:
    made = site()
    process = made.start()
    until(made.run.parts(0, 0).exists)
    process.send_signal(number)
    assert end(process) == -signal.SIGTERM  # Slurm ends what is requeued
    assert made.told.read_text() == "requeue 7\n"
    assert list(made.run.parts(0, 0).glob("*.parquet"))
    assert end(made.start(restarts=1)) == 0
    assert made.rows() == 8


def test_a_job_that_was_cancelled_is_not_brought_back(site: Callable[..., Site]) -> None:
    made = site()
    made.slurm_says("COMPLETING")
    process = made.start(restarts=2)
    until(made.run.parts(0, 0).exists)
    process.send_signal(signal.SIGTERM)
    assert end(process) == EXIT_STOPPED
    assert not made.told.exists()
    assert made.ending(restarts=2) == {"code": EXIT_STOPPED, "node": "n1"}


def test_a_run_that_was_cancelled_asks_for_nothing(site: Callable[..., Site]) -> None:
    made = site()
    process = made.start()
    until(made.run.parts(0, 0).exists)
    made.run.cancelled.touch()
    process.send_signal(signal.SIGTERM)
    assert end(process) == EXIT_STOPPED
    assert not made.told.exists()


def test_where_slurm_does_not_answer_the_coordinator_has_to_see_to_it(
    site: Callable[..., Site],
) -> None:
    made = site()
    made.install("squeue", "raise SystemExit('Unable to contact slurm controller')")
    process = made.start()
    until(made.run.parts(0, 0).exists)
    process.send_signal(signal.SIGUSR2)
    assert end(process) == EXIT_STOPPED
    assert "can't be requeued" in made.run.log(0, 0).read_text()


def test_time_that_passed_without_anything_done_is_told(site: Callable[..., Site]) -> None:
    made = site(candidates=1, seconds=60)
    short = {**made.array.parameters, "time": 0}
    write_array(made.run, replace(made.array, parameters=short))
    process = made.start()
    until(made.run.heartbeat(0, 0).exists)
    process.send_signal(signal.SIGUSR2)
    assert end(process) == EXIT_TIME_UP
    assert not made.told.exists()


def test_told_to_stop_while_it_waits_for_its_turn(site: Callable[..., Site]) -> None:
    made = site()
    # So many start at once that the last of them wait for half a minute.
    many = replace(made.array, shards=tuple([9] * 999 + [0]), parallel=1000)
    write_array(made.run, many)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(root=str(made.run.root))],
        env={
            **os.environ,
            "PYTHONPATH": str(HOME),
            "PATH": f"{made.programs}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": "999",
            "SLURM_JOB_ID": "7",
        },
    )
    until(made.run.log(0, 0).exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert made.told.read_text() == "requeue 7\n"


def test_two_live_copies_of_a_shard_leave_one_result(site: Callable[..., Site]) -> None:
    made = site()
    copies = [made.start(), made.start(restarts=1)]
    assert [end(copy) for copy in copies] == [0, 0]
    assert made.rows() == 8
    assert not made.run.parts(0, 0).exists()


def test_the_last_task_queues_the_coordinator_that_is_missing(site: Callable[..., Site]) -> None:
    made = site(seconds=0)
    write_record(made.run, Record())
    write_profile(made.run, Profile())
    made.install("squeue", "")
    told = made.told
    made.install("sbatch", f"open({str(told)!r}, 'a').write('sbatch\\n'); print(99)")
    assert end(made.start()) == 0
    assert told.read_text() == "sbatch\n" * 2
    made.run.summary.touch()
    assert end(made.start()) == 0
    assert told.read_text() == "sbatch\n" * 2


def test_an_array_task_loads_no_more_than_a_worker() -> None:
    code = "import hpc_runner.pipeline.array_task, sys; print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(HOME)}
    loaded = subprocess.check_output([sys.executable, "-c", code], env=environ, text=True).split()
    heavy = {"duckdb", "typer", "rich", "litellm", "mcp", "submitit"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
