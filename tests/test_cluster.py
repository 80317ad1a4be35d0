"""What the commands do for a run on a cluster, without one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_runner import cluster
from hpc_runner.commands.cluster_options import chosen_profile
from hpc_runner.commands.planning import Asked, on_site
from hpc_runner.errors import ConfigError
from hpc_runner.model import Limits
from hpc_runner.pipeline.profile_files import load_profile
from hpc_runner.pipeline.profiles import Profile


def test_what_a_dry_run_tells(golden: Callable[[str, str], None]) -> None:
    profile = load_profile(
        None,
        ["partition=normal", "account=p42", "memory=16G", "cpus_per_task=8", "time=00:30:00"],
    )
    rows = cluster.plan_rows(2500, 10_000_000, profile, largest=1001)
    one = cluster.plan_rows(1, 300, Profile(), remark="Slurm isn't here")
    told = "\n".join(f"{name:<14} {value}" for each in (rows, one) for name, value in each.items())
    golden("cluster_plan.txt", told + "\n")


def test_options_of_a_cluster_are_for_clusters(tmp_path: Path) -> None:
    assert chosen_profile(None, None, None) is None
    assert chosen_profile("local", None, []) is None
    assert chosen_profile("slurm", None, ["time=5"]) == Profile(time=5)
    with pytest.raises(ConfigError, match="--profile is for clusters: give --cluster slurm"):
        chosen_profile(None, tmp_path / "x.toml", None)
    with pytest.raises(ConfigError, match="--slurm is for clusters"):
        chosen_profile("local", None, ["time=5"])
    with pytest.raises(ConfigError, match=r"--cluster: one of local, slurm \(found 'pbs'\)"):
        chosen_profile("pbs", None, None)


def test_the_command_line_wins_over_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPC_RUNNER_SARUS", raising=False)
    profile = load_profile(
        None, ["cpus_per_task=8", "array_parallelism=9", "runtime=sarus", "sarus.program=/s"]
    )
    nothing = {"corpus": ("/c",), "workers": None, "slots": None, "runtime": None}
    config = Asked((), nothing).config(profile)
    assert (config.workers, config.slots, config.runtime) == (9, 8, "sarus")
    assert os.environ["HPC_RUNNER_SARUS"] == "/s"
    assert on_site(profile, config) == profile
    monkeypatch.delenv("HPC_RUNNER_SARUS")

    told = Asked((), {**nothing, "workers": 2, "slots": 3, "runtime": "local"}).config(profile)
    assert (told.workers, told.slots, told.runtime) == (2, 3, "local")
    site = on_site(profile, told)
    assert (site.array_parallelism, site.cpus_per_task, site.runtime) == (2, 3, "local")


def test_memory_that_does_not_hold_what_runs_in_it_is_told(checkout: Path) -> None:
    small = Profile.model_validate({"memory": "1G", "cpus_per_task": 4})
    told = cluster.memory_remark(small, Limits())
    assert told.startswith("1024 MiB may be too little for an array task: 4 executions at a time")
    needed = int(re.findall(r"(\d+) MiB at their", told)[0])
    for megabytes, says in ((needed, False), (needed - 1, True)):
        enough = small.model_copy(update={"memory": megabytes})
        assert bool(cluster.memory_remark(enough, Limits())) is says
    assert cluster.memory_remark(Profile(cpus_per_task=100), Limits()) == ""
    generic = load_profile(checkout / "slurm" / "profiles" / "generic.toml")
    assert cluster.memory_remark(generic, Limits()) == ""


def test_the_cache_is_where_the_profile_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "HPC_RUNNER_CACHE"):
        monkeypatch.setenv(name, "")
    profile = load_profile(None, [f"cache={tmp_path}"])
    asked = Asked((), {"corpus": ("/c",)}, ("on", None, "1g"))
    assert asked.config(profile).cache.directory == f"{tmp_path}/hpc_runner/results"
