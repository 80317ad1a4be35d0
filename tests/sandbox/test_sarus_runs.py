"""Whole shards and runs under Sarus: containers that die, ordinary users, HumanEval."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sarus_host import USER, SarusHost, archive_for_everyone, inside
from test_worker import GOOD, TESTS, planned, results

from hpc_runner.model import Candidate
from hpc_runner.runinfo import EnvironmentInfo, read_info
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.sarus import SarusRuntime
from hpc_runner.sandbox.starter import agent_starter
from hpc_runner.sandbox.worker import Worker

SLOW = "import time\ntime.sleep(3)\n" + GOOD
FULL = {"user", "net", "pid", "mount", "landlock", "seccomp", "no_new_privs"}


def first_process(runtime: SarusRuntime) -> int:
    """Of the only container that runs for us."""
    listed = runtime._call(["ps"], 20.0).stdout.splitlines()[1:]
    [row] = [line.split() for line in listed if line.startswith("hpc-runner-")]
    return int(row[1])


class Deaths:
    """Starts agents as a worker does, and kills the container's first process half a second
    after the slow candidate was given to one, for the first so many times."""

    def __init__(self, runtime: SarusRuntime, start: Callable[..., Agent], times: int) -> None:
        self._runtime, self._start, self._times = runtime, start, times
        self.agents = 0
        self.together: list[int] = []
        """How many executions an agent had when it had the slow one."""

    def __call__(
        self, environment: EnvironmentInfo, slots: int, candidates: Sequence[Candidate]
    ) -> Agent:
        agent = self._start(environment, slots, candidates)
        self.agents += 1
        submit, given = agent.submit, []

        def watched(request: Mapping[str, Any]) -> None:
            submit(request)
            given.append(request["id"])
            if request["code"] != SLOW:
                return
            if len(self.together) < self._times:
                threading.Timer(0.5, self._kill).start()
            self.together.append(len(given))

        agent.submit = watched  # type: ignore[method-assign]
        return agent

    def _kill(self) -> None:
        os.kill(first_process(self._runtime), signal.SIGKILL)


def test_executions_of_a_container_that_dies_are_tried_again(
    sarus: SarusHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second time alone; the others go on in a new container."""
    monkeypatch.setenv("HPC_RUNNER_SARUS", sarus.program)
    codes = [SLOW, *(f"{GOOD}# {n}" for n in range(40))]
    run = planned(tmp_path, codes, TESTS, runtime="sarus", rounds=1, slots=2)
    info = read_info(run)
    deaths = Deaths(sarus.runtime(), agent_starter(info, {}), 2)
    assert Worker(run, info, 0, 0, start_agent=deaths, per_execution=False).run()
    rows = results(run)
    assert [row["verdict"] for row in rows] == ["accepted"] * 41
    [slow] = [row for row in rows if row["task_id"] == "t/0"]
    assert slow["attempt"] == 2
    assert deaths.agents == 3
    assert len(deaths.together) == 3
    assert deaths.together[2] == 1, "the last one had a container of its own"
    others = sorted(row["attempt"] for row in rows if row is not slow)
    assert others[-1] <= 2 and others[0] == 0


def test_a_container_that_always_dies_leaves_its_candidate_unjudged(
    sarus: SarusHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HPC_RUNNER_SARUS", sarus.program)
    run = planned(tmp_path, [SLOW, GOOD], TESTS, runtime="sarus", rounds=1)
    info = read_info(run)
    deaths = Deaths(sarus.runtime(), agent_starter(info, {}), 9)
    assert Worker(run, info, 0, 0, start_agent=deaths, per_execution=False).run()
    found = {row["task_id"]: row for row in results(run)}
    assert found["t/1"]["verdict"] == "accepted"
    assert found["t/0"]["verdict"] == "internal_error"
    assert "exit status 137" in found["t/0"]["error_message"]


def run_as_user(sarus_user: SarusHost, user_python: list[str], corpus: Path, *options: str) -> Path:
    """The directory of a finished run of the ordinary user."""
    home = sarus_user.top / "home-of-user"
    home.mkdir(exist_ok=True)
    os.chown(home, USER, USER)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "HPC_RUNNER_IMAGES": str(archive_for_everyone(sarus_user).parent),
        "HPC_RUNNER_CACHE": "off",
        "HPC_RUNNER_SARUS": sarus_user.program,
    }
    out = home / f"run-{len(list(home.iterdir()))}"
    command = [*user_python, "-m", "hpc_runner", "run", str(corpus), "--runtime", "sarus"]
    done = subprocess.run(
        [*command, "--out", str(out), *options],
        cwd=home, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return out


def rows_of(run: Path) -> list[dict[str, Any]]:
    files = sorted(run.glob("waves/*/results/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_an_ordinary_user_gets_full_isolation(
    sarus_user: SarusHost, user_python: list[str]
) -> None:
    corpus = sarus_user.top / "corpus.jsonl"
    corpus.write_text(json.dumps({"task_id": "t/0", "code": GOOD, "tests": TESTS}) + "\n")
    out = run_as_user(sarus_user, user_python, corpus, "--require-isolation", "full")
    rows = rows_of(out)
    assert [row["verdict"] for row in rows] == ["accepted"] * len(rows)
    assert {row["isolation"] for row in rows} == {"full"}
    assert set(rows[0]["mechanisms"].split(",")) >= FULL
    digest = json.loads((out / "run.json").read_text())["environments"][0]["image"]["digest"]
    assert digest == sarus_user.image.digest.hex()


@pytest.mark.skipif(os.getuid() != 0, reason="of root")
def test_root_without_capabilities_gets_what_is_left(
    sarus: SarusHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A user namespace with root in it needs a capability that nobody has in there."""
    monkeypatch.setenv("HPC_RUNNER_SARUS", sarus.program)
    run = planned(tmp_path, [GOOD], TESTS, runtime="sarus", rounds=1)
    info = read_info(run)
    assert Worker(run, info, 0, 0, start_agent=agent_starter(info, {}), per_execution=False).run()
    [row] = results(run)
    assert (row["verdict"], row["isolation"]) == ("accepted", "filtered")


def test_a_container_for_each_execution(
    sarus: SarusHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HPC_RUNNER_SARUS", sarus.program)
    run = planned(tmp_path, [GOOD, GOOD + "#"], TESTS, runtime="sarus", rounds=1, slots=2)
    info = read_info(run)
    assert Worker(run, info, 0, 0, start_agent=agent_starter(info, {}), per_execution=True).run()
    assert [row["verdict"] for row in results(run)] == ["accepted"] * 2
    assert "hpc-runner-" not in sarus.run("ps").stdout


def test_human_eval_is_accepted(
    sarus_user: SarusHost, user_python: list[str], shared_data: Callable[[str], Path]
) -> None:
    corpus = shared_data("HumanEval.jsonl.gz")
    options = ["--rounds", "1", "--slots", "2", "--require-isolation", "full"]
    rows = rows_of(run_as_user(sarus_user, user_python, corpus, *options))
    assert [row["verdict"] for row in rows] == ["accepted"] * 164
    assert {row["isolation"] for row in rows} == {"full"}
    assert inside(sarus_user, "echo still well") == "still well\n"
