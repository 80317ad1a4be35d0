"""The options that decide what is run, and how: those of `run` and `submit`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpc_runner.commands.cache_options import (
    CacheMaxAge,
    CacheMaxSize,
    CacheOption,
    NoDedup,
    cache_values,
)
from hpc_runner.commands.options import (
    JUDGING,
    SANDBOX,
    WORK,
    environment_names,
    formats,
    levels,
    runtimes,
    size,
    switch,
)
from hpc_runner.commands.policy_options import (
    AllowDependency,
    AllowEnv,
    JudgeMode,
    PolicyMode,
    PolicyRule,
    Suspicious,
    Wheelhouse,
    policy_values,
)
from hpc_runner.commands.refine_options import Refining, refine_values, refining
from hpc_runner.commands.signatures import taking

if TYPE_CHECKING:
    from hpc_runner.config import RunConfig
    from hpc_runner.pipeline.profiles import Profile

__all__ = ["Asked", "on_site", "planning"]


@dataclass(frozen=True)
class Asked:
    """What the options of ``planning`` say; None stands for what wasn't given."""

    paths: tuple[Path, ...]
    values: dict[str, Any]
    cache: tuple[str, str | None, str] = ("off", None, "0")
    """What ``cache_values`` takes."""
    refine: Refining | None = None
    """What ``refine_values`` takes."""

    def config(self, profile: Profile | None = None) -> RunConfig:
        """With the profile's or this machine's values for what wasn't given; with a profile,
        this process is ready for its site.  Raises ``ConfigError``."""
        from hpc_runner.cluster import enter
        from hpc_runner.config import RunConfig
        from hpc_runner.model import Limits
        from hpc_runner.pipeline.host import fitting

        ours: dict[str, object] = {"slots": 1, "runtime": "auto"}
        if profile is not None:
            enter(profile)  # it may say where the cache is
            ours |= {"workers": profile.array_parallelism, "slots": profile.cpus_per_task}
            ours["runtime"] = profile.runtime or "auto"
        given = {name: value for name, value in self.values.items() if value is not None}
        values = {**ours, **given, "cache": cache_values(*self.cache)}
        if self.refine is not None:
            values["refine"] = refine_values(self.refine)
        config = RunConfig.parse(values)
        if profile is not None or "workers" in given:
            return config
        at_once = fitting(config.limits.apply(Limits())).slots
        return config.model_copy(update={"workers": max(1, at_once // config.slots)})


@taking(refining)
def planning(
    refine: Refining,
    corpus: Annotated[
        Path,
        typer.Argument(
            metavar="CORPUS",
            help=".jsonl, .jsonl.gz, .jsonl.zst, Parquet, or a folder of source files; "
            "'example' is a small corpus that comes with the package.",
        ),
    ],
    samples: Annotated[
        Path | None,
        typer.Argument(metavar="SAMPLES", help="Programs for the corpus's tasks (by task_id)."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Executions of each candidate.", rich_help_panel=JUDGING)
    ] = 3,
    threshold: Annotated[
        float,
        typer.Option(help="Share of the rounds that makes a consensus.", rich_help_panel=JUDGING),
    ] = 0.8,
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="How to read the corpus.", autocompletion=formats, rich_help_panel=JUDGING
        ),
    ] = "auto",
    code_field: Annotated[
        str | None,
        typer.Option(
            help="The field that holds the program, where there are several.",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Take the first N samples.", rich_help_panel=JUDGING)
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad row.", rich_help_panel=JUDGING)
    ] = False,
    every_test: Annotated[
        bool,
        typer.Option(
            "--every-test",
            help="Run the tests after the first one that fails, too.",
            rich_help_panel=JUDGING,
        ),
    ] = False,
    no_early_stop: Annotated[
        bool,
        typer.Option(
            "--no-early-stop",
            help="Run the rounds that can't change an outcome any more, too.",
            rich_help_panel=JUDGING,
        ),
    ] = False,
    error_rate: Annotated[
        float | None,
        typer.Option(
            help="Also leave out rounds that change the outcome of at most this share of the "
            "candidates, such as 0.001.",
            show_default="only those that can change none",
            rich_help_panel=JUDGING,
        ),
    ] = None,
    extra_rounds: Annotated[
        int,
        typer.Option(
            help="Most rounds more for candidates that disagree with themselves, to find out "
            "what their verdict depends on.",
            metavar="N",
            rich_help_panel=JUDGING,
        ),
    ] = 14,
    perturb: Annotated[
        str,
        typer.Option(
            help="Whether rounds differ on purpose, in what a right program doesn't depend on: "
            "on, off.",
            autocompletion=lambda: ["on", "off"],
            rich_help_panel=JUDGING,
        ),
    ] = "on",
    seed: Annotated[
        int, typer.Option(help="Draws other perturbations.", rich_help_panel=JUDGING)
    ] = 0,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="What runs the sandbox: local, docker, podman, sarus, apptainer, or auto.",
            autocompletion=runtimes,
            show_default="auto",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    isolation: Annotated[
        str,
        typer.Option(
            help="'container' starts a container for each execution, 'agent' one per worker.",
            autocompletion=lambda: ["agent", "container"],
            rich_help_panel=SANDBOX,
        ),
    ] = "agent",
    require_isolation: Annotated[
        str,
        typer.Option(
            help="Refuse to run below this level: limits, filtered, full.",
            autocompletion=levels,
            rich_help_panel=SANDBOX,
        ),
    ] = "filtered",
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds for an execution, instead of the corpus's.",
            metavar="S",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory of an execution, as 256m or 1g, instead of the corpus's.",
            metavar="SIZE",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    environments: Annotated[
        str | None,
        typer.Option(
            help="What candidates are cross-validated in, with commas between: images of "
            "containers/ or, in the local runtime, Pythons such as py311 or their paths.",
            metavar="NAMES",
            show_default="one: the runtime's own",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            help="Interpreter for the candidates in the local runtime.",
            metavar="PATH",
            rich_help_panel=SANDBOX,
        ),
    ] = None,
    fresh_interpreter: Annotated[
        bool,
        typer.Option(
            "--fresh-interpreter",
            help="Start Python anew for each execution instead of forking a warm one.",
            rich_help_panel=SANDBOX,
        ),
    ] = False,
    judge: JudgeMode = "auto",
    suspicious: Suspicious = "flag",
    policy: PolicyMode = "warn",
    policy_rule: PolicyRule = None,
    allow_dependency: AllowDependency = None,
    allow_env: AllowEnv = None,
    wheelhouse: Wheelhouse = None,
    cache: CacheOption = "on",
    cache_max_age: CacheMaxAge = None,
    cache_max_size: CacheMaxSize = "2g",
    no_dedup: NoDedup = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Worker processes.",
            show_default="as many as fit; on a cluster, its profile's",
            rich_help_panel=WORK,
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            help="Executions at a time in each worker.",
            show_default="1; on a cluster, the CPUs of an array task",
            rich_help_panel=WORK,
        ),
    ] = None,
    shard_size: Annotated[
        int | None,
        typer.Option(
            help="Candidates in each shard.", show_default="as it pays", rich_help_panel=WORK
        ),
    ] = None,
) -> Asked:
    """What is to be run, and how."""
    from hpc_runner import session

    paths = session.corpus_paths(corpus, samples)
    limits = {"wall_s": timeout, "memory_bytes": None if memory is None else size(memory)}
    values = {
        "corpus": tuple(str(path) for path in paths),
        "format": format,
        "code_field": code_field,
        "limit": limit,
        "strict": strict,
        "rounds": rounds,
        "consensus_threshold": threshold,
        "early_stop": not no_early_stop,
        "error_rate": error_rate,
        "extra_rounds": extra_rounds,
        "perturb": switch("--perturb", perturb),
        "seed": seed,
        "runtime": runtime,
        "isolation": isolation,
        "require_isolation": require_isolation,
        "environments": environment_names(environments),
        "python": python,
        "workers": workers,
        "slots": slots,
        "shard_size": shard_size,
        "fresh_interpreter": fresh_interpreter,
        **{"judge": judge, "suspicious": suspicious},
        "every_test": every_test,
        "limits": limits,
        "dedup": not no_dedup,
        **policy_values(policy, policy_rule, allow_dependency, allow_env, wheelhouse),
    }
    return Asked(paths, values, (cache, cache_max_age, cache_max_size), refine)


def on_site(profile: Profile, config: RunConfig) -> Profile:
    """The profile with what the command line wants otherwise; says on stderr if that can't
    work."""
    from hpc_runner.cluster import memory_remark
    from hpc_runner.model import Limits

    site = profile.model_copy(
        update={
            "cpus_per_task": config.slots,
            "array_parallelism": config.workers,
            "runtime": config.runtime,
        }
    )
    if remark := memory_remark(site, config.limits.apply(Limits())):
        print(remark, file=sys.stderr)
    return site
