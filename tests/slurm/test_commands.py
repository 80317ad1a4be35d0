"""The commands of hpc-runner on a real cluster."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from clusters import Cluster

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROFILE = """\
partition = "main"
time = "00:05:00"
memory = "1G"
cpus_per_task = 2
array_parallelism = 8
scratch = "{scratch}/$SLURM_JOB_ID"
runtime = "local"
[environment]
TEST_COLOUR = "blue"
"""


@pytest.fixture
def cli(cluster: Cluster, command: Callable[..., Run]) -> Run:
    return command(environment=cluster.environment, timeout_s=180)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(PROFILE.format(scratch=tmp_path / "scratch"))
    return path


ON_CLUSTER = ("--cluster", "slurm", "--profile")


def test_a_run_on_the_cluster(cli: Run, cluster: Cluster, profile: Path, tmp_path: Path) -> None:
    done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "Accepted by consensus" in done.stdout
    status = json.loads(cli("status", "run", "--json").stdout)
    assert (status["phase"], status["done"]) == ("done", 108)
    assert cluster.run("squeue", "-h") == "", "nothing is left in the queue"
    assert list((tmp_path / "scratch").iterdir()), "workers had their scratch"
    again = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", "--slurm", "time=7")
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert json.loads((tmp_path / "run" / "profile.json").read_text())["time"] == "00:07:00"


def test_a_dry_run_shows_the_script_and_leaves_nothing(
    cli: Run, cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    for line in ("job arrays     0-", "core-hours     ", "#SBATCH --partition=main",
                 "#SBATCH --cpus-per-task=2", "export TEST_COLOUR=blue",
                 "#SBATCH --output=" + str(tmp_path / "run/waves/000/arrays")):  # fmt: skip
        assert line in done.stdout
    assert "remark" not in done.stdout
    assert not (tmp_path / "run").exists()
    assert cluster.run("squeue", "-h") == ""
    script = done.stdout.partition("\n\nThe job script of the first array:\n\n")[2]
    (tmp_path / "script").write_text(script)
    checked = subprocess.run(
        ["sbatch", "--test-only", tmp_path / "script"],
        env=cluster.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, "Slurm takes it: " + checked.stderr


def test_what_slurm_refuses_is_told(cli: Run, profile: Path) -> None:
    done = cli("run", "example", *ON_CLUSTER, profile, "--slurm", "partition=nowhere", "--out", "r")
    assert done.returncode == 1
    assert "invalid partition" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_can_go_on_here(cli: Run, profile: Path) -> None:
    """Planned for the cluster, which then takes no more jobs."""
    refused = cli("run", "example", *ON_CLUSTER, profile, "--slurm", "partition=no", "--out", "r")
    assert refused.returncode == 1
    done = cli("resume", "r", "--cluster", "local", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "Accepted by consensus" in done.stdout


def test_a_machine_without_slurm_says_so(cli: Run, profile: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    path = {"PATH": str(tmp_path / "bin"), "SLURM_CONF": os.devnull}
    done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", **path)
    assert done.returncode == 2
    assert "this machine has no Slurm, or a module is not loaded" in done.stderr
    shown = cli("run", "example", *ON_CLUSTER, profile, "--dry-run", **path)
    assert shown.returncode == 0, shown.stderr
    assert "remark         how large an array may be is a guess" in shown.stdout


# Nothing but jobs


def ended(cli: Run, cluster: Cluster, run: Path, seconds: float = 150) -> None:
    """Wait for the queue to be empty; the run must be done then."""
    cluster.wait_for(lambda: not cluster.run("squeue", "-h"), seconds)
    status = json.loads(cli("status", run, "--json").stdout)
    assert status["phase"] == "done", (run / "coordinator.log").read_text()


def processes_of(run: Path) -> list[str]:
    """Commands outside of Slurm that name the run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            variables = (process / "environ").read_bytes()
            # A coordinator hides its own job from the sbatch that it calls.
            in_job = b"SLURM_JOB_ID=" in variables or "/job_" in (process / "cgroup").read_text()
        except OSError:
            continue
        if any(str(run) in word for word in words) and not in_job:
            found.append(" ".join(words))
    return found


def test_submit_leaves_no_process_here(
    cli: Run, cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ("example", "--profile", profile, "--out", run)
    done = cli("submit", *words)
    assert done.returncode == 0, done.stderr
    assert "coordinates" in done.stdout
    assert processes_of(run) == []
    again = cli("submit", *words)
    assert again.returncode == 0, again.stderr
    other = cli("submit", *words, "--rounds", "5")
    assert other.returncode == 2
    assert "submitted with other options" in other.stderr or "rounds was 3" in other.stderr
    assert json.loads(cli("status", run, "--json").stdout)["phase"] in ("planning", "running")
    ended(cli, cluster, run)
    assert processes_of(run) == []
    assert "Accepted by consensus" in cli("report", run).stdout
    assert "the run is done" in cli("logs", run, "--coordinator").stdout
    assert "is complete" in cli("submit", *words).stderr


def test_a_submission_that_slurm_refuses_can_be_mended(
    cli: Run, cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ("example", "--profile", profile, "--out", run)
    done = cli("submit", *words, "--slurm", "coordinator.partition=nowhere")
    assert done.returncode == 1
    assert "invalid partition" in done.stderr
    status = json.loads(cli("status", run, "--json").stdout)
    assert status["phase"] == "stopped"
    assert "invalid partition" in status["reason"]
    assert cli("submit", *words, "--rounds", "1").returncode == 0
    ended(cli, cluster, run)


def test_a_script_for_sbatch_does_the_same(
    cli: Run, cluster: Cluster, checkout: Path, profile: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    script = checkout / "slurm" / "validate.sbatch"
    program = tmp_path / "hpc-runner"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hpc_runner "$@"\n')
    program.chmod(0o755)
    corpus = checkout / "hpc_runner" / "examples" / "corpus.jsonl"
    told = ["sbatch", "--parsable", f"--output={tmp_path}/log", script, corpus, run]
    done = subprocess.run(
        [*map(str, told), "--profile", str(profile)],
        env={**cluster.environment, "HPC_RUNNER": str(program), "PYTHONPATH": str(checkout)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cluster.wait_for(run.exists)
    ended(cli, cluster, run)
    assert "Accepted by consensus" in cli("report", run).stdout


def test_cancel_and_resume_a_run_of_jobs(
    cli: Run, cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "slow.jsonl"
    rows = [{"task_id": f"t/{n}", "code": f"import time; time.sleep(1); {n}"} for n in range(12)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = tmp_path / "run"
    done = cli("submit", corpus, "--profile", profile, "--workers", "2", "--out", run)
    assert done.returncode == 0, done.stderr
    cluster.wait_for(lambda: list(run.glob("waves/000/heartbeats/*.json")))
    done = cli("cancel", run)
    assert done.returncode == 0, done.stderr
    cluster.wait_for(lambda: not cluster.run("squeue", "-h"))
    assert json.loads(cli("status", run, "--json").stdout)["phase"] == "cancelled"
    done = cli("resume", run, "--cluster", "slurm", "--profile", profile, "--slurm", "time=9")
    assert done.returncode == 0, done.stderr
    assert "was queued to coordinate" in done.stdout
    ended(cli, cluster, run)
    assert json.loads((run / "profile.json").read_text())["time"] == "00:09:00"
    summary = json.loads(cli("report", run, "--json").stdout)
    assert (summary["accepted"], summary["executions"]) == (12, 36)


def test_why_a_submitted_run_stopped_is_told(
    cli: Run, cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    """The corpus is gone when its coordinator starts."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"task_id": "a", "code": "x = 1"}\n')
    hold = cluster.sbatch("--exclusive", "-N4", "-o", "/dev/null", "--wrap", "sleep 300")
    cluster.wait_for(lambda: cluster.states(hold) == ["RUNNING"])
    done = cli("submit", corpus, "--profile", profile, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert json.loads(cli("status", "run", "--json").stdout)["phase"] == "planning"
    corpus.unlink()
    cluster.run("scancel", str(hold))
    cluster.wait_for(lambda: not cluster.run("squeue", "-h"))
    status = cli("status", "run", "--watch").stdout
    assert "submitted: stopped" in status
    assert "corpus.jsonl" in status


def test_a_coordinator_by_hand(
    cli: Run, cluster: Cluster, checkout: Path, profile: Path, tmp_path: Path
) -> None:
    """The chain was cancelled before its first job started; its script goes on by hand."""
    hold = cluster.sbatch("--exclusive", "-N4", "-o", "/dev/null", "--wrap", "sleep 300")
    cluster.wait_for(lambda: cluster.states(hold) == ["RUNNING"])
    run = tmp_path / "run"
    submitted = cli("submit", "example", "--profile", profile, "--out", run)
    assert submitted.returncode == 0, submitted.stderr
    cluster.run("scancel", "--user=root")
    cluster.wait_for(lambda: not cluster.run("squeue", "-h"))
    done = subprocess.run(
        ["sbatch", f"--output={tmp_path}/log", checkout / "slurm" / "coordinator.sbatch", run],
        env={**cluster.environment, "HPC_RUNNER_PYTHON": sys.executable,
             "PYTHONPATH": str(checkout)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ended(cli, cluster, run)


# Containers


def test_a_run_in_containers_of_sarus(cli: Run, profile: Path, tmp_path: Path) -> None:
    """Its program and options come from the profile, on the login node and on the others."""
    from sandbox import sarus_host

    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(sarus_host.prepared())
        except sarus_host.Unavailable as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        text = profile.read_text().replace('runtime = "local"', 'runtime = "sarus"')
        profile.write_text(f'{text}[sarus]\nprogram = "{host.program}"\n')
        done = cli("run", "example", *ON_CLUSTER, profile, "--out", "run", "--rounds", "1")
        assert done.returncode == 0, done.stderr
        summary = json.loads(cli("report", "run", "--json").stdout)
        assert summary["runtime"] == "sarus"
        assert summary["accepted"] > 15
        assert summary["unjudged"] == 0
