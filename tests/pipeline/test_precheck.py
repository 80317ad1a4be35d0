"""Policy and dependencies, from the plan to the vote, with real workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sandbox.pythons import several
from sandbox.wheels import make_wheel

from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.candidates import read_checked
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info
from hpc_runner.sandbox.dependencies import read_sets
from hpc_runner.sandbox.local import check_interpreter

THREE = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1, 2], "expected": 3}]}
SUMS = "from tiny_sums import add\ndef f(a, b): return add(a, b)"
PLAIN = "def f(a, b): return a + b"

Planned = Callable[..., tuple[RunDir, RunInfo]]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Plans a run of these rows, each given as task=row."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    house = tmp_path / "wheels"
    make_wheel(house, "tiny_sums", "1.0", {"tiny_sums.py": "def add(a, b):\n    return a + b\n"})

    def make(options: dict[str, Any], **rows: dict[str, Any]) -> tuple[RunDir, RunInfo]:
        corpus = tmp_path / "corpus.jsonl"
        lines = [
            {"task_id": task, "tests": THREE, "code": PLAIN, **row} for task, row in rows.items()
        ]
        corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
        values = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
        run = RunDir(tmp_path / "run")
        config = RunConfig.parse({**values, "wheelhouse": str(house), **options})
        plan(run, config, progress=lambda _: None)
        return run, read_info(run)

    return make


def judged(run: RunDir) -> dict[str, dict[str, Any]]:
    """Run every shard and vote: task → its vote, with all its result rows as ``rows``."""
    for shard in range(read_info(run).shards):
        where = [str(run.root), "0", str(shard)]
        subprocess.run([sys.executable, "-m", "hpc_runner.sandbox.worker", *where], check=True)
    vote(run, 0, 0.8)
    votes = {row["task_id"]: row | {"rows": []} for row in pq.read_table(run.votes).to_pylist()}
    for path in sorted(run.results(0).glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            votes[row["task_id"]]["rows"].append(row)
    return votes


def test_dependencies_are_there_and_those_that_are_not_hinder_nobody(planned: Planned) -> None:
    run, info = planned(
        {"shard_size": 2},
        called={"code": SUMS, "dependencies": ["tiny-sums"]},
        printed={
            "code": "import tiny_sums; print(tiny_sums.add(1, 2))",
            "dependencies": ["tiny_sums >= 1"],
            "tests": {"kind": "expected_output", "stdout": "3"},
        },
        absent={"code": PLAIN, "dependencies": ["no-such-package"]},
        undeclared={"code": SUMS},
        plain={},
    )
    assert any("no-such-package can't be had" in line for line in info.warnings)
    votes = judged(run)
    accepted = {task for task, found in votes.items() if found["accepted"]}
    assert accepted == {"called", "printed", "plain"}
    assert all(len(votes[task]["rows"]) == 3 for task in accepted)
    assert votes["undeclared"]["error_type"] == "ModuleNotFoundError"
    absent = votes["absent"]
    assert (absent["verdict"], absent["judged"], absent["unjudged"]) == (None, 0, 1)
    (row,) = absent["rows"]
    assert (row["verdict"], row["judge"], row["round"]) == ("internal_error", "dependencies", 0)
    assert row["error_type"] == "DependencyError" and "no-such-package" in row["error_message"]


def test_each_environment_has_its_own_dependencies(planned: Planned, tmp_path: Path) -> None:
    old, new = several(2)
    versions = [check_interpreter(path).split(".")[:2] for path in (old, new)]
    for (major, minor), word in zip(versions, ("old", "new"), strict=True):
        tag = f"cp{major}{minor}-none-any"
        make_wheel(tmp_path / "wheels", "tagged", "1.0", {"tagged.py": f"who = {word!r}"}, tag=tag)
    major, minor = versions[0]
    tag = f"cp{major}{minor}-none-any"
    make_wheel(tmp_path / "wheels", "only_old", "1.0", {"only_old.py": ""}, tag=tag)
    code = f"""
import sys, tagged
def f(a, b):
    assert tagged.who == ("old" if sys.version_info[:2] == ({major}, {minor}) else "new")
    return a + b
"""
    run, info = planned(
        {"environments": (old, new)},
        both={"code": code, "dependencies": ["tagged"]},
        one={"code": "import only_old\n" + PLAIN, "dependencies": ["only-old"]},
    )
    first, second = (environment.name for environment in info.environments)
    told = f"only-old can't be had for {second}, which leaves 1 program unjudged there"
    assert len([line for line in info.warnings if told in line]) == 1
    assert "tagged can't" not in str(info.warnings) and f"for {first}" not in str(info.warnings)
    sets = read_sets(run.dependencies(0))
    directories = {sets[name][("tagged",)].directory for name in (first, second)}
    assert None not in directories and len(directories) == 2
    votes = judged(run)
    assert votes["both"]["accepted"] and votes["both"]["environments_agree"]
    one = votes["one"]
    assert (one["accepted"], one["environments"], one["environments_agree"]) == (True, 1, None)
    unjudged = [row for row in one["rows"] if row["verdict"] == "internal_error"]
    assert [(row["environment"], row["judge"], row["round"]) for row in unjudged] == [
        (second, "dependencies", 0)
    ]


def test_dependencies_can_be_read_and_not_changed(planned: Planned) -> None:
    code = (
        "import os, tiny_sums\n"
        "def f(a, b):\n"
        "    for path in (tiny_sums.__file__, os.path.dirname(tiny_sums.__file__) + '/new.py'):\n"
        "        try:\n"
        "            open(path, 'w')\n"
        "        except OSError:\n"
        "            a += 1\n"
        "    return a\n"
    )
    run, _ = planned({}, it={"code": code, "dependencies": ["tiny-sums"]})
    assert judged(run)["it"]["verdict"] == "accepted"


def test_a_refused_candidate_is_not_run_and_has_one_row(planned: Planned, tmp_path: Path) -> None:
    exits = "import os\ndef f(a, b): os._exit(0)"
    run, info = planned(
        {"policy": {"rules": {"HR503": "refuse"}}},
        refused={"code": exits},
        location={"dependencies": ["x @ https://example.org/x.whl"]},
        plain={},
    )
    votes = judged(run)
    for task, rule in (("refused", "HR503"), ("location", "HR603")):
        found = votes[task]
        assert (found["verdict"], found["consensus"]) == ("policy_violation", True)
        assert found["error_type"] == rule
        (row,) = found["rows"]
        assert (row["judge"], row["round"], row["isolation"]) == ("policy", 0, "none")
        assert row["python"] == "" and row["wall_s"] == 0.0
    assert votes["plain"]["accepted"]
    assert any("2 refused" in line for line in info.warnings)
    kept = [found.refused for found in read_checked(run.candidates(0), 0).values()]
    assert sorted(text[:5] for text in kept if text) == ["HR503", "HR603"]


def test_a_sign_is_a_suspicion_where_tests_share_the_candidate_s_process(
    planned: Planned,
) -> None:
    code = "import sys\ndef f(a, b):\n    sys._getframe()\n    return a + b"
    run, _ = planned({"rounds": 2, "early_stop": False, "judge": "inline"}, it={"code": code})
    found = judged(run)["it"]
    sign = "static: frame_walking (HR506 sys._getframe: line 3)"
    assert found["accepted"] and len(found["rows"]) == 2
    assert all(sign in row["suspicion"] for row in found["rows"])


def test_variables_are_filtered_and_only_their_names_are_told(planned: Planned) -> None:
    code = "import os\nprint(sorted(os.environ))"
    env = {"APP_A": "hush-1", "OTHER": "hush-2", "LD_PRELOAD": "/hush-3.so", "TZ": "UTC"}
    tests = {"kind": "expected_output", "stdout": "['APP_A', 'TZ']", "checker": "trimmed"}
    run, info = planned(
        {"policy": {"allow_env": ("APP_*",)}, "perturb": False},
        it={"code": code, "env": env, "tests": tests},
    )
    found = judged(run)["it"]
    assert found["accepted"], found["rows"]
    told = "\n".join(info.warnings) + str(read_checked(run.candidates(0), 0))
    assert "LD_PRELOAD" in told and "OTHER" in told and "hush" not in told


def test_going_on_repeats_nothing_of_what_was_not_run(planned: Planned) -> None:
    refused = {"code": "import os\nos._exit(0)"}
    run, _ = planned({"policy": {"mode": "refuse"}}, refused=refused, plain={})
    first = judged(run)
    run.result(0, 0).unlink()
    assert [len(found["rows"]) for found in judged(run).values()] == [
        len(found["rows"]) for found in first.values()
    ]


def test_what_is_mistaken_is_said_before_anything_is_read(planned: Planned, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rule 'HR000'"):
        planned({"policy": {"rules": {"HR000": "off"}}}, plain={})
    with pytest.raises(ConfigError, match=r"no directory .*/nowhere"):
        planned({"wheelhouse": str(tmp_path / "nowhere")}, plain={})
    assert not (tmp_path / "run").exists()
