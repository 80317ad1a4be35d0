"""Site profiles: what they say, who wins, and how a mistake in one is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.errors import ConfigError, RunError
from hpc_runner.pipeline.profile_files import load_profile, read_profile, write_profile
from hpc_runner.pipeline.profiles import (
    CoordinatorJob,
    Profile,
    SarusOptions,
    megabytes,
    minutes,
    slurm_time,
)
from hpc_runner.rundir import RunDir

Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A function that writes a profile and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text)
        return path

    return write


# Values


@pytest.mark.parametrize(
    ("told", "found"),
    [("01:30:00", 90), ("00:00:30", 1), ("2-00:00:00", 2880), ("90", 90), (90, 90)],
)
def test_times_are_slurms(told: object, found: int) -> None:
    assert minutes(told) == found


@pytest.mark.parametrize("told", ["1h", "1:30", "0", 0, True, 1.5, "", "-5", "01:00:00:00"])
def test_other_times_are_refused(told: object) -> None:
    with pytest.raises(ValueError, match=r"time such as|at least|either hours"):
        minutes(told)


@given(st.integers(1, 10**6))
def test_a_time_says_the_same_after_it_is_written(time_min: int) -> None:
    assert minutes(slurm_time(time_min)) == time_min


@pytest.mark.parametrize(
    ("told", "found"), [("4G", 4096), ("512M", 512), ("1.5GB", 1536), ("2 GiB", 2048)]
)
def test_sizes_have_units(told: str, found: int) -> None:
    assert megabytes(told) == found


@pytest.mark.parametrize("told", ["4000", 4000, "4 gigs", "", "0M", True])
def test_a_size_without_unit_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match=r"its unit|at least"):
        megabytes(told)


# Files


def test_the_profiles_of_the_project_are_right(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    paths = sorted((checkout / "slurm" / "profiles").glob("*.toml"))
    assert [path.name for path in paths] == ["cscs-sarus.toml", "generic.toml"]
    cscs, generic = map(load_profile, paths)
    assert (cscs.runtime, cscs.cpus_per_task, cscs.memory) == ("sarus", 36, None)
    assert cscs.variables() == {"HPC_RUNNER_IMAGES": "/scratch/me/hpc_runner/images"}
    assert (generic.time, generic.memory, generic.coordinator.time) == (60, 3072, 120)


def test_every_key_is_explained(checkout: Path) -> None:
    text = (checkout / "docs" / "slurm.md").read_text()
    table = text[text.index("| key |") : text.index("## What a run may cost")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told: list[str] = re.findall(r"`([a-z_.]+)`", " ".join(cells))
    for at, key in enumerate(told):
        if key.startswith("."):  # the table of the one before it
            told[at] = told[at - 1].partition(".")[0] + key
    tables = {"sarus": SarusOptions, "coordinator": CoordinatorJob}
    wanted = set(Profile.model_fields) - set(tables)
    wanted |= {f"{name}.{key}" for name, model in tables.items() for key in model.model_fields}
    assert set(told) == wanted


def test_examples_in_comments_can_be_used(checkout: Path, written: Written) -> None:
    """Everything that is commented out in the generic profile, switched on."""
    lines = (checkout / "slurm" / "profiles" / "generic.toml").read_text().splitlines()
    text = "\n".join(
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
        for line in lines
    )
    profile = load_profile(written(text))
    assert profile.account == "project42"
    assert profile.exclude == ("node007",)
    assert profile.environment == {"HTTPS_PROXY": "http://proxy.example:3128"}
    assert profile.coordinator.partition == "xfer"
    assert profile.variables()["XDG_CACHE_HOME"] == f"{Path.home()}/.cache"


def test_the_command_line_wins_over_the_profile_and_that_over_the_defaults(
    written: Written,
) -> None:
    path = written(
        'partition = "normal"\ntime = "02:00:00"\nsetup = ["a"]\n[coordinator]\ntime = 5'
    )
    profile = load_profile(
        path, ["time=10", "coordinator.partition=xfer", "setup=b", "setup=c=d", "requeue=false"]
    )
    assert (profile.partition, profile.time, profile.cpus_per_task) == ("normal", 10, 1)
    assert profile.setup == ("b", "c=d")
    assert not profile.requeue
    assert (profile.coordinator.partition, profile.coordinator.time) == ("xfer", 5)
    assert load_profile(None) == Profile()
    assert load_profile(None, ["memory=8G"]).memory == 8192


MISTAKES = {
    'partion = "x"': "line 1, 'partion': no key of a profile; did you mean 'partition'?",
    'time = "01:00:00"\nmem = "4G"': "line 2, 'mem': no key of a profile; did you mean 'memory'?",
    'cpus-per-task = 4': "line 1, 'cpus-per-task': no key of a profile; did you mean 'cpus_per",
    "[coordinator]\n\ntmie = 5": "line 3, 'coordinator.tmie': no key of a profile; did you mean",
    "coordinator.tmie = 5": "line 1, 'coordinator.tmie'",
    "xyzzy = 1": "line 1, 'xyzzy': no key of a profile; there are partition, account",
    'memory = "4000"': "line 1, 'memory': a size with its unit, such as 4G or 512M (found '4000')",
    'time = "1:30"': "line 1, 'time': either hours and minutes, 1:30:00, or minutes and seconds",
    "[coordinator]\ntime = 0": "line 2, 'coordinator.time': at least a minute (found 0)",
    "cpus_per_task = 0": "line 1, 'cpus_per_task': Input should be greater than or equal to 1",
    'partition = "a b"': "line 1, 'partition': one word, without quotes (found 'a b')",
    'setup = ["a\\nb"]': "line 1, 'setup': one line that isn't empty (found 'a\\nb')",
    'sbatch = ["--array=1-9"]': "line 1, 'sbatch': --array is set by hpc_runner itself",
    'sbatch = ["--mem=4G"]': "line 1, 'sbatch': --mem has a key of its own: memory",
    'sbatch = ["-p x"]': "line 1, 'sbatch': an option such as --mail-type=END (found '-p x')",
    '[environment]\nAPI_KEY = "x"': "line 1, 'environment': API_KEY looks like a secret",
    'cache = "$NOBODY_SETS_THIS/x"': "line 1, 'cache': a variable in it isn't set here",
    'image_repository = "images"': "line 1, 'image_repository': an absolute path",
    "exclude = 5": "line 1, 'exclude': Input should be a valid tuple",
    "partition =": "is no TOML file: Invalid value (at end of document)",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_names_file_line_and_key(text: str, written: Written) -> None:
    path = written(text)
    with pytest.raises(ConfigError) as raised:
        load_profile(path)
    assert str(raised.value).startswith(str(path))
    assert MISTAKES[text] in str(raised.value)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ("time", "--slurm: KEY=VALUE, such as partition=debug (found 'time')"),
        ("tme=5", "--slurm tme=5: 'tme': no key of a profile; did you mean 'time'?"),
        ("time=soon", "--slurm time: a time such as 01:30:00"),
        ("coordinator.x=1", "--slurm coordinator.x=1: 'coordinator.x'"),
        ("coordinator=1", "--slurm coordinator: "),
    ],
)
def test_a_mistake_in_the_command_line_names_the_option(given_: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_profile(None, [given_])
    assert told in str(raised.value)


def test_a_profile_that_is_missing_is_told_with_its_neighbours(written: Written) -> None:
    path = written("")
    with pytest.raises(ConfigError, match=r"no profile .*sites\.toml; .* has site\.toml"):
        load_profile(path.with_name("sites.toml"))


# Runs


def test_a_run_keeps_its_profile(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert read_profile(run) is None
    profile = load_profile(
        None, ["time=2-00:00:00", "memory=1.5G", "coordinator.memory=1G", "sbatch=--exclusive"]
    )
    write_profile(run, profile)
    assert read_profile(run) == profile
    run.profile.write_text("{")
    with pytest.raises(RunError, match="--profile FILE"):
        read_profile(run)


def test_variables_for_sarus(written: Written) -> None:
    profile = load_profile(written('[sarus]\nprogram = "/opt/s"\noptions = ["--mount=a b", "-t"]'))
    assert profile.variables() == {
        "HPC_RUNNER_SARUS": "/opt/s",
        "HPC_RUNNER_SARUS_OPTIONS": "'--mount=a b' -t",
    }
