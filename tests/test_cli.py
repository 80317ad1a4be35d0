"""The command line as a user meets it: a process, its exit code and what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from sandbox.pythons import several

from hpc_runner import __version__
from hpc_runner.cli import app

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PASSING = {"task_id": "a", "code": "print(1)"}
FAILING = {"task_id": "b", "code": "raise ValueError(2)"}


@pytest.fixture
def cli(command: Callable[..., Run]) -> Run:
    return command()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return corpus_of(tmp_path / "corpus.jsonl", PASSING, FAILING, PASSING)


def corpus_of(path: Path, *rows: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LOCAL = ("--runtime", "local", "--require-isolation", "limits", "--workers", "1")


# A run


def test_a_run_ends_with_0_whatever_the_verdicts(cli: Run, corpus: Path, tmp_path: Path) -> None:
    done = cli("run", corpus, "--out", "run", *LOCAL)
    assert done.returncode == 0, done.stderr
    assert "accepted" in done.stdout
    assert "runtime_error" in done.stdout
    assert "2 candidates, 1 duplicates, 0 rejected" in done.stderr

    again = cli("run", corpus, "--out", "run", *LOCAL)
    assert again.returncode == 0, again.stderr
    assert "Going on with" in again.stderr
    assert again.stdout == done.stdout

    status = json.loads(cli("status", "run", "--json").stdout)
    assert (status["phase"], status["done"], status["coordinator"]) == ("done", 6, None)
    assert "done, 6 of 6 executions" in cli("status", "run", "--watch").stdout

    report = cli("report", "run", "--json")
    assert json.loads(report.stdout)["accepted"] == 2
    assert cli("report", "run").stdout == done.stdout

    exported = cli("export", "run", "--format", "humaneval", "--out", "results.jsonl")
    assert exported.returncode == 0, exported.stderr
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["passed"] for row in rows] == [True, False, True]

    cancelled = cli("cancel", "run")
    assert cancelled.returncode == 2
    assert "is complete" in cancelled.stderr
    assert cli("resume", "run").stdout == done.stdout


def test_what_stayed_unjudged_is_retried(cli: Run, corpus: Path, tmp_path: Path) -> None:
    assert cli("run", corpus, "--out", "run", *LOCAL, "-q").returncode == 0
    (result,) = (tmp_path / "run").glob("waves/000/results/*.parquet")
    table = pq.read_table(result)
    rows = table.to_pylist()
    rows[0] |= {"verdict": "internal_error", "judge": "exit"}
    # Without the counts in the metadata, which a worker would have written right.
    schema = table.schema.remove_metadata()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), result)

    unsaid = cli("retry", "run")
    assert unsaid.returncode == 2
    assert "`hpc-runner retry RUN --unjudged`" in unsaid.stderr
    done = cli("retry", "run", "--unjudged", "-q")
    assert done.returncode == 0, done.stderr
    assert "1 execution of 1 candidate in 1 shard run again" in done.stderr
    assert "accepted" in done.stdout
    verdicts = pq.read_table(result, columns=["verdict"])["verdict"].to_pylist()
    assert "internal_error" not in verdicts
    again = cli("retry", "run", "--unjudged")
    assert again.returncode == 0
    assert "nothing to run again" in again.stdout


def test_another_command_on_a_run_says_what_differs(cli: Run, corpus: Path) -> None:
    assert cli("run", corpus, "--out", "run", *LOCAL, "-q").returncode == 0
    other = cli("run", corpus, "--out", "run", *LOCAL, "--rounds", "5")
    assert other.returncode == 2
    assert "rounds was 3 and is 5" in other.stderr
    assert cli("run", corpus, "--out", "run", *LOCAL, "--workers", "3").returncode == 0
    corpus_of(corpus, FAILING)
    changed = cli("run", corpus, "--out", "run", *LOCAL)
    assert changed.returncode == 2
    assert "the corpus had digest" in changed.stderr


def test_a_dry_run_tells_the_plan_and_leaves_nothing(
    cli: Run, corpus: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = cli("run", corpus, "--dry-run", "--timeout", "2.5", *LOCAL, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    told = dict(re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines())
    assert told["samples"] == "3"
    assert told["candidates"] == "2"
    assert told["duplicates"] == "1"
    assert told["executions"] == "6 at most (3 rounds)"
    assert "wall_s = 2.5" in told["limits"]
    assert told["runtime"].startswith("local (local was asked for")
    assert "12 ms" in told["expected time"]
    assert sorted(tmp_path.rglob("*")) == before


def test_environments_are_told_before_and_after_a_run(cli: Run, corpus: Path) -> None:
    pythons = several(2)
    words = ("run", corpus, "--environments", ",".join(pythons), *LOCAL)
    plan = cli(*words, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "12 at most (3 rounds x 2 environments)" in plan.stdout
    for python in pythons:
        assert f"at {python})" in plan.stdout
    done = cli(*words, "--out", "run", "-q")
    assert done.returncode == 0, done.stderr
    assert "The environments agree on 2 of 2 candidates" in done.stdout
    found = json.loads(cli("report", "run", "--json").stdout)
    assert [item["accepted"] for item in found["environments"]] == [1, 1]
    assert found["environment_agreement"] == 1.0
    status = json.loads(cli("status", "run", "--json").stdout)
    assert status["executions"] == status["done"] == 12


def test_the_default_directory_is_named_after_the_corpus(
    cli: Run, corpus: Path, tmp_path: Path
) -> None:
    assert cli("run", corpus, *LOCAL, "-q", "--limit", 1, "--rounds", 1).returncode == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"corpus-\d{8}-\d{6}", made.name)


def test_isolation_that_can_not_be_had_is_refused(cli: Run, corpus: Path) -> None:
    done = cli("run", corpus, "--out", "run", "--runtime", "local", "--require-isolation", "most")
    assert done.returncode == 2
    assert "require_isolation" in done.stderr


# Mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nowhere.jsonl"], "there is no file or directory"),
        (["run", "corpus.jsonl", "--rounds", "0"], "rounds: "),
        (["run", "corpus.jsonl", "--rounds", "many"], "--rounds"),
        (["run", "corpus.jsonl", "--threshold", "0.3"], "consensus_threshold: "),
        (["run", "corpus.jsonl", "--memory", "a lot"], "--memory: a size such as 256m"),
        (["run", "corpus.jsonl", "--format", "word"], "--format word: expected auto"),
        (["run", "corpus.jsonl", "--runtime", "magic"], "runtime 'magic' is not known"),
        (["run", "corpus.jsonl", "--python", "/no/python"], "/no/python"),
        (["run", "corpus.jsonl", *LOCAL, "--environments", "py3"], "py3' is neither"),
        (["run", "corpus.jsonl", *LOCAL, "--environments", "/no/python"], "/no/python"),
        (["run", "corpus.jsonl", "--environments", "py311,"], "names with commas between"),
        (["run", "corpus.jsonl", "--environments", "./py,/py", "--python", "x"], "give one"),
        (["run", "bad.jsonl", "--strict"], "row 1"),
        (["run", "bad.jsonl", "--out", "."], "is not empty and not a run"),
        (["resume", "nowhere"], "there is no run directory"),
        (["resume", "."], "is not a run directory"),
        (["status", "corpus.jsonl"], "is a file"),
        (["report", "nowhere"], "there is no run directory"),
        (["cancel", "nowhere"], "there is no run directory"),
        (["export", "nowhere", "--format", "jsonl"], "there is no run directory"),
        (["dance"], "No such command"),
    ],
)
def test_a_mistake_ends_with_2_and_one_clear_message(
    cli: Run, corpus: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    corpus_of(tmp_path / "bad.jsonl", PASSING, {"task_id": "b", "code": 5})
    done = cli(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_debug_adds_the_traceback(cli: Run) -> None:
    done = cli("--debug", "resume", "nowhere")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_damaged_summary_is_our_trouble(cli: Run, corpus: Path, tmp_path: Path) -> None:
    assert cli("run", corpus, "--out", "run", *LOCAL, "-q").returncode == 0
    (tmp_path / "run" / "summary.json").write_text("{")
    done = cli("report", "run")
    assert done.returncode == 1
    assert "summary.json can't be read" in done.stderr
    (tmp_path / "run" / "summary.json").unlink()
    assert cli("resume", "run").returncode == 0


# What it says of itself


def test_the_version(cli: Run) -> None:
    assert cli("--version").stdout == f"hpc-runner {__version__}\n"


def test_doctor_tells_what_works_here(cli: Run) -> None:
    done = cli("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["cores_usable"] >= 1
    assert found["runtimes"].keys() >= {"local", "docker"}
    agent = found["runtimes"]["local"]["agent"]
    assert agent["isolation"] in ("limits", "filtered", "full")
    told = cli("doctor").stdout
    assert f"{found['cores_usable']} are ours" in told
    for name, runtime in found["runtimes"].items():
        assert name in told
        assert runtime["works"] or runtime["mend"] or runtime["agent_error"]


def test_completion_completes_values(cli: Run) -> None:
    words = "hpc-runner run corpus.jsonl --format "
    done = cli(_HPC_RUNNER_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="4")
    assert "humaneval" in done.stdout.split()


def test_help_is_fast_because_it_loads_little(checkout: Path) -> None:
    code = (
        "import sys, hpc_runner.cli\n"
        "heavy = {'duckdb', 'pyarrow', 'pydantic', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def commands() -> Iterator[tuple[str, object]]:
    """By name; those of a group as "cache stats"."""
    main = typer.main.get_command(app)
    yield "hpc-runner", main
    for name, command in main.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        else:
            yield from ((f"{name} {sub}", found) for sub, found in below.items())


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_option_is_documented(checkout: Path, name: str, command: object) -> None:
    text = (checkout / "docs" / "cli.md").read_text()
    if name != "hpc-runner":
        parts = re.split(r"^## ", text, flags=re.MULTILINE)
        sections = ("run", "submit") if name == "submit" else (name,)  # it takes run's options
        text = "".join(part for part in parts if part.partition("\n")[0] in sections)
    documented = set(re.findall(r"^\| `(--[a-z-]+)`", text, flags=re.MULTILINE))
    real = {
        max(option.opts, key=len)
        for option in command.params  # type: ignore[attr-defined]
        if option.param_type_name == "option"
    }
    if name == "hpc-runner":
        documented &= real | {"--help"}
    if name == "submit":
        documented -= {"--cluster", "--quiet"}
    assert documented - {"--help"} == real - {"--help"}


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_option_has_help(name: str, command: object) -> None:
    for option in command.params:  # type: ignore[attr-defined]
        assert option.help, f"{name} {option.opts}"
