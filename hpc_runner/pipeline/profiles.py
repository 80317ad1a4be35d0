"""Site profiles: what a cluster wants its jobs to be like.  docs/slurm.md explains each key."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
)

__all__ = [
    "SBATCH_KEYS",
    "CoordinatorJob",
    "Profile",
    "SarusOptions",
    "megabytes",
    "minutes",
    "parse_options",
    "slurm_time",
]

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_OURS = {
    "array", "chdir", "clusters", "dependency", "error", "export", "input", "job-name",
    "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "parsable", "signal",
    "test-only", "wait", "wrap",
}  # fmt: skip
"""Options of sbatch that hpc_runner sets itself, or that would break it."""
SBATCH_KEYS = {
    **{name: name for name in ("account", "constraint", "exclude", "partition", "qos")},
    **{name: name for name in ("reservation", "time", "wckey", "requeue")},
    **{"mem": "memory", "cpus-per-task": "cpus_per_task", "no-requeue": "requeue"},
}
"""Options of sbatch that a profile has a key for."""


def minutes(value: object) -> object:
    """``"HH:MM:SS"``, ``"D-HH:MM:SS"`` or a number of minutes, as whole minutes, rounded up."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a time such as 01:30:00, 2-00:00:00, or a number of minutes")  # noqa: TRY004
    text = str(value).strip()
    if re.fullmatch(r"\d+", text):
        found = int(text)
    elif match := re.fullmatch(r"(?:(\d+)-)?(\d{1,3}):(\d\d):(\d\d)", text):
        days, hours, mins, seconds = (int(part or 0) for part in match.groups())
        found = (days * 24 + hours) * 60 + mins + (seconds > 0)
    elif match := re.fullmatch(r"(\d+):(\d\d)", text):
        raise ValueError(f"either hours and minutes, {text}:00, or minutes and seconds, 00:{text}")
    else:
        raise ValueError("a time such as 01:30:00, 2-00:00:00, or a number of minutes")
    if found < 1:
        raise ValueError("at least a minute")
    return found


def megabytes(value: object) -> object:
    """``"4G"`` or ``"512M"`` as Slurm counts them, in MiB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?", str(value).strip(), re.IGNORECASE)
    if match is None or isinstance(value, bool):
        raise ValueError("a size with its unit, such as 4G or 512M")
    found = float(match[1]) * {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}[match[2].upper()]
    if found < 1:
        raise ValueError("at least 1M")
    return int(-(-found // 1))


def slurm_time(time_min: int) -> str:
    """As Slurm writes a time limit."""
    days, rest = divmod(time_min, 24 * 60)
    return (f"{days}-" if days else "") + f"{rest // 60:02d}:{rest % 60:02d}:00"


def parse_options(given: Sequence[str]) -> dict[str, str | bool]:
    """``["--mail-type=END", "--exclusive"]`` by name.  Raises ``ValueError``."""
    found: dict[str, str | bool] = {}
    for text in given:
        match = re.fullmatch(r"--([a-z][a-z0-9-]*)(?:=(.+))?", text.strip())
        if match is None:
            raise ValueError(f"an option such as --mail-type=END (found {text!r})")
        name, value = match.groups()
        if name in _OURS:
            raise ValueError(f"--{name} is set by hpc_runner itself")
        if name in SBATCH_KEYS:
            raise ValueError(f"--{name} has a key of its own: {SBATCH_KEYS[name]}")
        if name in found:
            raise ValueError(f"--{name} is given twice")
        found[name] = True if value is None else value
    return found


def _word(value: str) -> str:
    if not re.fullmatch(r"[^\s'\"\\]+", value):
        raise ValueError("one word, without quotes")
    return value


def _node(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+(\[[\d-]+\])?", value):
        raise ValueError("a node, such as n7, or nodes in a row, such as n[1-8]")
    return value


def _line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("one line that isn't empty")
    return value


def _everywhere(value: str) -> str:
    """Expanded here, because it has to be the same on all nodes."""
    found = os.path.expandvars(os.path.expanduser(value))  # noqa: PTH111
    if "$" in found:
        raise ValueError("a variable in it isn't set here")
    if not os.path.isabs(found):  # noqa: PTH117
        raise ValueError("an absolute path, as every node sees it")
    return found


Minutes = Annotated[
    int, BeforeValidator(minutes), PlainSerializer(slurm_time, return_type=str, when_used="json")
]
Megabytes = Annotated[
    int, BeforeValidator(megabytes), PlainSerializer("{}M".format, return_type=str)
]
Word = Annotated[str, AfterValidator(_word)]
Node = Annotated[str, AfterValidator(_node)]
Line = Annotated[str, AfterValidator(_line)]
Everywhere = Annotated[str, AfterValidator(_line), AfterValidator(_everywhere)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CoordinatorJob(_Table):
    """The jobs that coordinate a run which was submitted as a whole.  What isn't given is as
    for array tasks, but time, memory and CPUs."""

    partition: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    time: Minutes = 120
    memory: Megabytes | None = 2048
    cpus_per_task: int = Field(default=1, ge=1, le=1024)
    watch: int = Field(default=10, ge=0, le=1440)
    """Minutes between two looks at array tasks that may be dead; 0: none."""


class SarusOptions(_Table):
    """How Sarus is started on this site."""

    program: Line | None = None
    """Its path, where it isn't ``sarus`` on PATH."""
    options: tuple[Line, ...] = ()
    """More options of ``sarus run``, such as --centralized-repository."""


class Profile(_Table):
    """One site.  Sizes are in MiB, times in minutes."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    reservation: Word | None = None
    wckey: Word | None = None
    exclude: tuple[Node, ...] = ()
    """Nodes that are never used."""
    time: Minutes = 60
    """Time limit of an array task."""
    memory: Megabytes | None = None
    """Of an array task; the site decides if not given."""
    cpus_per_task: int = Field(default=1, ge=1, le=1024)
    """Of an array task, which runs as many candidates at a time."""
    array_parallelism: int = Field(256, ge=1)
    """Array tasks of a run at a time."""
    requeue: bool = True
    """Whether Slurm may start an array task again after its node died or it was preempted."""
    sbatch: tuple[Line, ...] = ()
    """More options of sbatch."""
    srun: tuple[Line, ...] = ()
    """More options of srun, which starts the worker of an array task."""
    setup: tuple[Line, ...] = ()
    """Lines of shell before the worker starts: modules, variables."""
    environment: dict[str, Line] = {}
    """Variables for workers and coordinators; what is here is not expanded."""
    python: Line | None = None
    """Shell words that start Python on a node; the one that submits if not given."""
    runtime: Word | None = None
    scratch: Line | None = None
    """Directory of a node for what lives as long as a worker; $VARIABLES are those of the node."""
    cache: Everywhere | None = None
    """Directory that every node sees, for images, dependencies and earlier results."""
    image_repository: Everywhere | None = None
    """Directory that every node sees, for images only."""
    sarus: SarusOptions = SarusOptions()
    coordinator: CoordinatorJob = CoordinatorJob()

    @field_validator("sbatch")
    @classmethod
    def _options(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        parse_options(given)
        return given

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} is no name of a variable")
            if _SECRET.search(name):
                raise ValueError(f"{name} looks like a secret, which never goes to a worker")
        return given

    def variables(self) -> dict[str, str]:
        """What a planner, a coordinator and a worker need in their environment."""
        found = dict(self.environment)
        if self.cache is not None:
            found["XDG_CACHE_HOME"] = self.cache
        if self.image_repository is not None:
            found["HPC_RUNNER_IMAGES"] = self.image_repository
        if self.sarus.program is not None:
            found["HPC_RUNNER_SARUS"] = self.sarus.program
        if self.sarus.options:
            found["HPC_RUNNER_SARUS_OPTIONS"] = shlex.join(self.sarus.options)
        return found
