"""What the commands do with a run: prepare it, see it through, show it.

Progress and remarks go to stderr, results to stdout.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_runner.config import RunConfig
from hpc_runner.errors import (
    ConfigError,
    CorpusError,
    RunError,
    SchedulerBusy,
    SchedulerError,
    StorageError,
)
from hpc_runner.pipeline.sizing import EXECUTION_S
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, RunInfo, read_info

if TYPE_CHECKING:
    from hpc_runner.pipeline.profiles import Profile
    from hpc_runner.pipeline.status import Snapshot

__all__ = [
    "corpus_paths",
    "default_out",
    "prepare",
    "run_to_end",
    "show_plan",
    "show_status",
    "show_summary",
    "submit",
]

EXAMPLE = "example"
_HOW = {"workers", "corpus", "cache"}
"""Options that may differ between two commands on one run: the corpus is compared by content."""


def corpus_paths(corpus: Path, samples: Path | None) -> tuple[Path, ...]:
    """Absolute paths.  Raises ``CorpusError`` for one that isn't there."""
    if str(corpus) == EXAMPLE and not corpus.exists():
        corpus = Path(__file__).parent / "examples" / "corpus.jsonl"
    paths = tuple(path.absolute() for path in (corpus, samples) if path is not None)
    for path in paths:
        if not path.exists():
            raise CorpusError(f"there is no file or directory {path}")
    return paths


def default_out(corpus: Path) -> Path:
    stem = corpus.name
    for suffix in (".gz", ".zst", ".jsonl", ".parquet"):
        stem = stem.removesuffix(suffix)
    if corpus.parent == Path(__file__).parent / "examples":
        stem = EXAMPLE
    return Path("runs") / f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"


def prepare(run: RunDir, config: RunConfig, profile: Profile | None = None) -> RunInfo:
    """Plan the run, or find that it is planned just so; the profile may be another one.

    Raises ``ConfigError`` when it was planned otherwise, and what ``plan`` raises.
    """
    from hpc_runner.pipeline.plan import corpus_digest, plan
    from hpc_runner.refine.engine import check_refinement

    check_refinement(config.refine, _say)
    if not run.info.exists():
        info = plan(run, config, progress=_say, profile=profile)
        _say(
            f"{_counts(info)}, {info.runtime} runtime ({info.runtime_reason}), "
            f"{', '.join(item.name for item in info.environments)} → {run.root}"
        )
        for line in info.warnings:
            _say(line)
        return info
    info = read_info(run)
    differing = differences(info, config, corpus_digest(config))
    if differing:
        raise ConfigError(
            f"{run.root} is a run of something else: {'; '.join(differing)}. "
            f"Give another --out, or go on with it by `hpc-runner resume {run.root}`"
        )
    _say(f"Going on with {run.root}")
    if profile is not None:
        from hpc_runner import cluster

        cluster.adopt(run, profile)
    return info


def differences(info: RunInfo, config: RunConfig, digest: str) -> list[str]:
    """What keeps ``config`` from being what the run was planned for, in words."""
    before, now = info.config.model_dump(), config.model_dump()
    found = [
        f"{name} was {before[name]!r} and is {now[name]!r}"
        for name in before
        if name not in _HOW and before[name] != now[name]
    ]
    if info.corpus_digest != digest:
        found.insert(0, f"the corpus had digest {info.corpus_digest[:12]} and has {digest[:12]}")
    return found


def submit(run: RunDir, config: RunConfig, profile: Profile) -> int:
    """Have a run planned, coordinated and done by Slurm jobs; the id of the next coordinator.

    Doing it again adds nothing but what is missing.  Raises ``ConfigError`` when the directory
    is a run of something else, ``RunError`` when it is complete.
    """
    from hpc_runner.pipeline.chain import Record, read_record, write_record
    from hpc_runner.pipeline.coordinator_job import begin
    from hpc_runner.pipeline.profile_files import read_profile

    if run.summary.exists():
        raise RunError(f"{run.root} is complete; `hpc-runner report {run.root}` shows it")
    if run.info.exists():
        prepare(run, config, profile)
        profile = read_profile(run) or profile
    elif (record := read_record(run)) is not None and record.stopped is None:
        before, now = record.config, config.model_dump(mode="json")
        if before is not None and any(before.get(key) != now[key] for key in now):
            raise ConfigError(
                f"{run.root} was submitted with other options, and isn't planned yet: "
                f"`hpc-runner cancel {run.root}` and give another --out"
            )
    try:
        return begin(run, config, profile)
    except SchedulerBusy:
        raise  # Slurm may have it
    except SchedulerError as error:
        write_record(run, Record(config.model_dump(mode="json"), stopped=str(error)))
        raise


def show_plan(
    run: RunDir, config: RunConfig, profile: Profile | None = None, *, jobs: bool = False
) -> None:
    """Print what ``run`` would do, or, with ``jobs``, what ``submit`` would.  Nothing is left
    behind, and nothing is built or run."""
    from hpc_runner.pipeline.plan import plan
    from hpc_runner.refine.engine import check_refinement, foretell

    check_refinement(config.refine, _say)
    with tempfile.TemporaryDirectory(prefix="hpc-runner-") as scratch:
        planned = RunDir(Path(scratch) / "run")
        info = plan(planned, config, progress=_say, make_image=False, profile=profile)
        refinement = foretell(planned, info)
    if profile is None:
        print(render_plan(info, refinement=refinement))
        return
    from hpc_runner import cluster

    known = cluster.largest_array()
    rows = cluster.plan_rows(info.shards, info.executions_at_most, profile, *known)
    if jobs:
        rows["coordinators"] = cluster.coordinator_row(profile)
    print(render_plan(info, rows, refinement))
    print(f"\nThe job script of the first array:\n\n{cluster.first_script(run, info, profile)}")


def render_plan(
    info: RunInfo, more: Mapping[str, str] | None = None, refinement: str | None = None
) -> str:
    """A line for each thing to know; ``more`` are a cluster's, instead of this machine's."""
    config = info.config
    at_once = config.workers * config.slots
    executions = info.executions_at_most
    times = f"{config.rounds} rounds"
    if len(info.environments) > 1:
        times += f" x {len(info.environments)} environments"
    limits = config.limits.model_dump(exclude_none=True)
    told = ", ".join(f"{name} = {value}" for name, value in limits.items())
    rows = {
        "corpus": " with ".join(config.corpus),
        "format": info.format,
        "samples": f"{info.samples:,}",
        "candidates": f"{info.candidates:,}",
        "duplicates": f"{info.duplicates:,}",
        "cache": config.cache.directory or "off",
        "rejected": f"{info.rejected:,}",
        "executions": f"{executions:,} at most ({times})",
        "shards": f"{info.shards:,}",
        "at once": f"{at_once:,} ({config.workers} workers x {config.slots} slots)",
        "limits": f"the corpus's, but {told}" if told else "the corpus's, or the defaults",
        "runtime": f"{info.runtime} ({info.runtime_reason})",
        "environments": "\n               ".join(map(_environment, info.environments)),
        "warnings": "\n               ".join(info.warnings) or "none",
    }
    if refinement is not None:
        rows["refinement"] = refinement
    if more is not None:
        rows.update(more)
    else:
        rows["expected time"] = (
            f"{_duration(executions * EXECUTION_S / at_once)}, if an execution takes "
            f"{EXECUTION_S * 1000:.0f} ms as HumanEval's do and each of the {at_once} has a core"
        )
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def run_to_end(run: RunDir, workers: int, *, quiet: bool, here: bool = False) -> bool:
    """See a planned run through, on its cluster or with workers on this machine (``here``: even
    if it has a cluster), and print its summary.

    False when it was stopped before; then how to go on is printed.
    """
    from contextlib import nullcontext

    from hpc_runner.cluster import slurm_scheduler
    from hpc_runner.pipeline.coordinator import Phase, State
    from hpc_runner.pipeline.coordinator import run_to_end as coordinate
    from hpc_runner.pipeline.local_scheduler import LocalScheduler
    from hpc_runner.pipeline.status import Watch
    from hpc_runner.refine.engine import refinement
    from hpc_runner.report.progress import Progress
    from hpc_runner.report.progress import Snapshot as Shown

    scheduler = (None if here else slurm_scheduler(run)) or LocalScheduler(workers)
    watch = Watch(run)
    began = time.monotonic()
    with nullcontext() if quiet else Progress() as progress:

        def show(_state: State) -> None:
            if progress is not None:
                seen = watch.look()
                elapsed_s = time.monotonic() - began
                progress.update(
                    Shown(seen.done, seen.executions, seen.verdicts, seen.in_flight, elapsed_s)
                )

        with refinement(run, read_info(run).config.refine, _say) as opener:
            state = coordinate(run, scheduler, on_change=show, say=_say, opener=opener)
    if state.phase is not Phase.DONE:
        _say(f"Stopped. To go on: hpc-runner resume {run.root}")
        return False
    show_summary(run, as_json=False)
    return True


def show_status(run: RunDir, *, as_json: bool, watch: bool) -> None:
    from hpc_runner.pipeline.coordinator import TICK_S
    from hpc_runner.pipeline.status import Watch, submitted

    looking: Watch | None = None

    def show() -> Snapshot:
        nonlocal looking
        seen = submitted(run) if looking is None else None
        if seen is None:
            looking = looking or Watch(run)
            seen = looking.look()
        print(json.dumps(asdict(seen)) if as_json else _status_line(seen), flush=True)
        return seen

    while show().coordinator is not None and watch:
        time.sleep(TICK_S)  # another process, perhaps on another machine: nothing to wait on


def show_summary(run: RunDir, *, as_json: bool) -> None:
    from pydantic import ValidationError

    from hpc_runner.results.summary import Summary, summarise

    if run.summary.exists():
        try:
            summary = Summary.model_validate_json(run.summary.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(
                f"{run.summary} can't be read ({type(error).__name__}). Remove it: "
                f"`hpc-runner resume {run.root}` makes it again"
            ) from error
    else:
        summary = summarise(run)
    if as_json:
        print(summary.model_dump_json(indent=2))
        return
    from rich.console import Console

    from hpc_runner.report.terminal import render_summary

    Console().print(render_summary(summary))


def _status_line(seen: Snapshot) -> str:
    if not seen.run_id:
        line = f"submitted: {seen.phase}"
    else:
        line = (
            f"{seen.run_id}: {seen.phase}, {seen.done:,} of {seen.executions:,} executions, "
            f"{seen.shards_finished:,} of {seen.shards:,} shards"
        )
    if seen.wave:
        line += f" of {seen.wave + 1} waves"
    if seen.coordinator:
        line += f", {seen.coordinator}"
    counts = ", ".join(f"{name} {count:,}" for name, count in seen.verdicts.items())
    return "\n  ".join(filter(None, [line, counts, seen.reason]))


def _environment(environment: EnvironmentInfo) -> str:
    if environment.interpreter is None:
        return f"{environment.name} (image)"
    return f"{environment.name} (Python {environment.python} at {environment.interpreter})"


def _counts(info: RunInfo) -> str:
    return (
        f"{info.samples:,} samples ({info.format}): {info.candidates:,} candidates, "
        f"{info.duplicates:,} duplicates, {info.rejected:,} rejected, {info.cached:,} known to the "
        f"cache; {info.shards:,} shards"
    )


def _duration(seconds: float) -> str:
    from hpc_runner.report.words import duration

    return duration(seconds)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
