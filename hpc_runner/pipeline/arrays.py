"""Job arrays: what is written down of one before it is submitted, and what sbatch is told.

``waves/NNN/arrays/KKKK.json`` is written before sbatch is called, and the job's name follows
from it: a coordinator that dies at any moment leaves enough for the next one to find the array
in the queue, or to know that it isn't there.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hpc_runner.errors import ConfigError, StorageError
from hpc_runner.pipeline.profiles import Profile, parse_options
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

__all__ = [
    "Array",
    "Ending",
    "array_name",
    "ending_path",
    "job_prefix",
    "new_array",
    "parameters",
    "pickle_path",
    "read_array",
    "signal_delay_s",
    "slurm_log",
    "spread_s",
    "write_array",
]

_PICKLE = "task.pkl"


@dataclass(frozen=True)
class Ending:
    """How the last attempt of an array task ended."""

    index: int
    restarts: int
    cause: str
    detail: str
    node: str | None


@dataclass(frozen=True)
class Array:
    """The content of ``arrays/KKKK.json``."""

    wave: int
    number: int
    name: str
    """Of the job: nobody else has it."""
    shards: tuple[int, ...]
    """By array index."""
    parameters: Mapping[str, Any]
    """What submitit's executor is given."""
    parallel: int
    created_at: float
    """Seconds since 1970."""
    python: str | None = None
    """Shell words that start Python on a node; ours if not given."""
    job_id: int | None = None
    """None until sbatch has answered."""
    closed: bool = False
    """Every task has ended as ``endings`` say."""
    endings: tuple[Ending, ...] = ()


def job_prefix(run_id: str) -> str:
    """What the names of all arrays of a run begin with."""
    return f"hpcr-{run_id}-"


def array_name(run_id: str, wave: int, number: int) -> str:
    return f"{job_prefix(run_id)}w{wave:03d}-a{number:04d}"


def new_array(
    run: RunDir,
    run_id: str,
    wave: int,
    number: int,
    shards: Sequence[int],
    profile: Profile,
    exclude: Sequence[str] = (),
) -> Array:
    """An array that is to be submitted.  Raises ``ConfigError`` for a path Slurm would change."""
    folder = run.array_files(wave, number)
    if not str(folder).isprintable() or set(str(folder)) & set("%\\"):
        raise ConfigError(f"{run.root}: Slurm takes no path with %, \\ or control characters")
    name = array_name(run_id, wave, number)
    told = parameters(profile, name=name, folder=folder, tasks=len(shards), exclude=exclude)
    most = profile.array_parallelism
    return Array(wave, number, name, tuple(shards), told, most, time.time(), profile.python)


def parameters(
    profile: Profile, *, name: str, folder: Path, tasks: int, exclude: Sequence[str] = ()
) -> dict[str, Any]:
    """What submitit's SlurmExecutor is given."""
    nodes = sorted({*profile.exclude, *exclude})
    more = {
        **sbatch_options(profile),
        "chdir": "/",
        **({"exclude": ",".join(nodes)} if nodes else {}),
        **({"mem": f"{profile.memory}M"} if profile.memory is not None else {}),
        # submitit makes no array of a single task.
        **({"array": "0-0"} if tasks == 1 else {}),
    }
    cpus = profile.cpus_per_task
    return {
        "job_name": name,
        "time": profile.time,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        "signal_delay_s": signal_delay_s(profile.time),
        "array_parallelism": profile.array_parallelism,
        "wckey": profile.wckey,  # none of submitit's own: it is refused where they are checked
        "stderr_to_stdout": True,
        "setup": [*setup_lines(profile), _pickle_line(folder)],
        # srun takes neither from sbatch since Slurm 22.05, and starts a task for each CPU left.
        "srun_args": ["--ntasks=1", f"--cpus-per-task={cpus}", *profile.srun],
        "additional_parameters": more,
    }


def sbatch_options(profile: Profile) -> dict[str, str | bool]:
    """What array tasks and coordinators have in common, by sbatch's long names."""
    found: dict[str, str | bool] = parse_options(profile.sbatch)
    for name in ("partition", "account", "qos", "constraint", "reservation"):
        if (value := getattr(profile, name)) is not None:
            found[name] = value
    found["requeue" if profile.requeue else "no-requeue"] = True
    return found


def setup_lines(profile: Profile) -> list[str]:
    """Lines of shell that come before our program on a node."""
    lines = list(profile.setup)
    for name, value in profile.variables().items():
        lines.append(f"export {name}={shlex.quote(value)}")
    if profile.scratch is not None:
        lines.append(f'export TMPDIR="{_in_double_quotes(profile.scratch)}"')
        lines.append('mkdir -p "$TMPDIR"')
    return lines


def _in_double_quotes(text: str) -> str:
    """With $VARIABLES, and nothing else that the shell would do."""
    return re.sub(r'([`"\\]|\$(?![A-Za-z_{]))', r"\\\1", text)


def _pickle_line(folder: Path) -> str:
    """A task finds its pickle under the name that submitit expects before the coordinator has
    had time to put it there, or if it never does: all tasks have the same one."""
    mine = f"{shlex.quote(str(folder))}/${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    return f"[ -e {mine}_submitted.pkl ] || ln -s {_PICKLE} {mine}_submitted.pkl 2>/dev/null || :"


def signal_delay_s(time_min: int) -> int:
    """How long before its time limit an array task is told to stop; Slurm may do so a minute
    earlier."""
    return max(10, min(120, time_min * 60 // 10))


def spread_s(index: int, tasks: int, parallel: int) -> float:
    """How long an array task waits before it starts, so that those that Slurm starts at once
    don't all read the image and the package in the same second.

    Nothing in a small array, and nothing for tasks that start when others end; at most half a
    minute, evenly spread, the same at each start.
    """
    at_once = min(tasks, parallel)
    if at_once <= 32 or index >= parallel:
        return 0.0
    golden = 0.6180339887498949
    return min(30.0, at_once / 20) * (index * golden % 1.0)


def pickle_path(run: RunDir, array: Array) -> Path:
    """What every task of an array unpickles."""
    return run.array_files(array.wave, array.number) / _PICKLE


def ending_path(run: RunDir, array: Array, index: int, restarts: int) -> Path:
    """Where an array task says how it ended, when it left no result."""
    return run.array_files(array.wave, array.number) / f"{index}.{restarts}.ended.json"


def slurm_log(run: RunDir, array: Array, index: int) -> Path:
    """What Slurm and submitit print of an array task, as submitit calls it."""
    folder = run.array_files(array.wave, array.number)
    if len(array.shards) == 1:
        return folder / f"{array.job_id}_0_log.out"
    return folder / f"{array.job_id}_{index}_0_log.out"


def write_array(run: RunDir, array: Array) -> None:
    """Durable when it returns.  Raises ``StorageError``."""
    write_json(run.array(array.wave, array.number), asdict(array))


def read_array(run: RunDir, wave: int, number: int) -> Array:
    """Raises ``StorageError``."""
    path = run.array(wave, number)
    try:
        content = json.loads(path.read_bytes())
        content["shards"] = tuple(int(shard) for shard in content["shards"])
        content["endings"] = tuple(Ending(**ending) for ending in content["endings"])
        return replace(Array(**content), wave=wave, number=number)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path}: can't be read: {error}") from error
