"""Slurm's commands: no other module runs them.

Every call has a deadline, because the clients wait and try again for minutes when their
controller is gone.  What is asked is asked of slurmctld (``squeue``, ``scontrol``), never of
the accounting, which many sites limit or lack.  Commands are rendered and answers are parsed by
pure functions; an answer that can't be understood is an error, not an empty queue.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_runner.errors import ConfigError, SchedulerBusy, SchedulerError, SchedulerFull

__all__ = [
    "Job",
    "Limits",
    "Slurm",
    "clean_environment",
    "expand",
    "parse_limits",
    "parse_queue",
    "queue_command",
    "trouble",
]

DEADLINE_S = 30.0
"""Of one command."""
_MANY_IDS = 500
"""Job ids in one command: argument lists have an end."""

# One sign more than any value has: a column that is full was cut off.
_COLUMNS = {
    "ArrayJobID": 20,
    "ArrayTaskID": 20,
    "JobID": 20,
    "State": 20,
    "RestartCnt": 8,
    "exit_code": 12,
    "BatchHost": 64,
    "Reason": 64,
    "Name": 128,
}
_FORMAT = ",".join(f"{name}:{width}|" for name, width in _COLUMNS.items())

_BUSY = re.compile(
    r"unable to contact slurm controller|socket timed out|connection (failure|refused|reset)"
    r"|zero bytes were transmitted|temporarily|try(ing)? again|retrying|timed out"
    r"|transport endpoint is not connected|controller .*not responding|in standby mode"
    r"|configuration in progress|munge|authentication",
    re.IGNORECASE,
)
# "Slurm temporarily unable to accept job" is how a full queue (MaxJobCount) is told.
_FULL = re.compile(
    r"SubmitJobs?Limit|SubmitJobPerUser|MaxSubmit|job submit limit|unable to accept job",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"invalid job id|already completing or completed|job has finished|not pending", re.IGNORECASE
)
# What a submitter may have set for all of his jobs; other SBATCH_ variables would go before
# what the script says, and SLURM_ ones describe the job that we may be in.
_KEPT = {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT"}
_DEFAULTS = {
    f"SBATCH_{name.upper()}": name
    for name in ("account", "partition", "qos", "reservation", "constraint")
}


@dataclass(frozen=True)
class Limits:
    """What the cluster allows, from ``scontrol show config``."""

    array_size: int
    """Tasks in an array: their indices go from 0 to one less."""
    min_job_age_s: int
    """How long squeue remembers a job that has ended."""


@dataclass(frozen=True)
class Job:
    """A job, or one task of an array, as squeue tells of it."""

    array: int
    """The job id; of an array's task, the array's."""
    index: int | None
    """Of the task; None for what is no array."""
    raw: int
    """The id of its own that a task gets when it starts; until then the array's."""
    name: str
    state: str
    """Slurm's word: PENDING, RUNNING, COMPLETED, ..."""
    restarts: int
    """How often Slurm has requeued it."""
    exit_status: int
    """As ``os.waitstatus_to_exitcode`` gives it; 0 before its end."""
    node: str | None
    reason: str

    @property
    def id(self) -> str:
        """What Slurm's commands take."""
        return str(self.array) if self.index is None else f"{self.array}_{self.index}"


class Slurm:
    """The cluster that the environment points at.

    Methods raise ``SchedulerBusy`` when Slurm doesn't answer in time or asks to come again, and
    ``SchedulerError`` when it refuses; ``ConfigError`` when its programs aren't there.
    """

    def __init__(self, *, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._limits: Limits | None = None

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """stdout of one command."""
        given = os.environ if environment is None else environment
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._deadline_s if deadline_s is None else deadline_s,
                # Variables such as SQUEUE_FORMAT would change what is asked.
                env={k: v for k, v in given.items() if not k.startswith(("SQUEUE_", "SCANCEL_"))},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SchedulerBusy(f"{argv[0]} gave no answer in {error.timeout:.0f} s") from None
        except FileNotFoundError:
            raise ConfigError(
                f"there is no {argv[0]} here: this machine has no Slurm, or a module is not loaded"
            ) from None
        except OSError as error:
            raise SchedulerBusy(f"{argv[0]} can't be started: {error.strerror}") from error
        if done.returncode != 0:
            raise trouble(argv[0], done.returncode, done.stderr or done.stdout)
        return done.stdout

    def limits(self) -> Limits:
        if self._limits is None:
            self._limits = parse_limits(self.run(["scontrol", "show", "config"]))
        return self._limits

    def queue(self, prefix: str = "") -> list[Job]:
        """Our jobs whose names begin so, a task of an array each, and those that ended lately."""
        return parse_queue(self.run(queue_command(os.geteuid())), prefix)

    def job(self, job_id: str) -> Job | None:
        """One job or task; None when it isn't known any more."""
        try:
            found = parse_queue(self.run([*queue_command(os.geteuid()), f"--jobs={job_id}"]))
        except SchedulerBusy:
            raise
        except SchedulerError as error:
            if _GONE.search(str(error)):
                return None
            raise
        return found[0] if found else None

    def submit(self, script: Path, options: Sequence[str], environment: Mapping[str, str]) -> int:
        """``sbatch`` a script, the job starting with ``environment``; returns the job id."""
        environ = clean_environment(environment, options)
        answer = self.run(["sbatch", "--parsable", *options, str(script)], environment=environ)
        found = re.match(r"(\d+)(;\S+)?\s*$", answer)
        if found is None:
            raise SchedulerError(f"sbatch answered {answer!r} where a job id was expected")
        return int(found[1])

    def cancel(self, ids: Iterable[str], *, signal: str | None = None) -> None:
        """scancel; jobs that have ended meanwhile are none of its business."""
        options = [] if signal is None else [f"--signal={signal}", "--full"]
        for some in _batches(ids):
            self._tolerant(["scancel", *options, *some])

    def requeue(self, job_id: str) -> None:
        """Have Slurm end a job and start it again, under the same id."""
        self.run(["scontrol", "requeue", job_id])

    def update(self, job_id: int, **values: str) -> None:
        """Change a pending job: ``Dependency="afterany:1"``, ``StartTime="now+60"``."""
        told = [f"{name}={value}" for name, value in values.items()]
        self.run(["scontrol", "update", f"JobId={job_id}", *told])

    def _tolerant(self, argv: Sequence[str]) -> None:
        try:
            self.run(argv)
        except SchedulerBusy:
            raise
        except SchedulerError as error:
            if not _GONE.search(str(error)):
                raise


def queue_command(uid: int) -> list[str]:
    """One line for each task of each job of a user."""
    return [
        *("squeue", "--noheader", "--states=all", "--array", f"--user={uid}"),
        f"--Format={_FORMAT}",
    ]


def parse_queue(text: str, prefix: str = "") -> list[Job]:
    """The jobs whose names begin so.  Raises ``SchedulerError`` for a line of theirs that isn't
    what ``queue_command`` asks for."""
    jobs: list[Job] = []
    for line in text.splitlines():
        fields = line.split("|", len(_COLUMNS) - 1)  # a name may hold anything
        if len(fields) == len(_COLUMNS) and not fields[-1].startswith(prefix):
            continue
        if line.strip():
            jobs += _parse_job(line, fields)
    return jobs


def _parse_job(line: str, fields: list[str]) -> list[Job]:
    try:
        if len(fields) != len(_COLUMNS) or any(not field.endswith(" ") for field in fields[:-1]):
            raise ValueError("not the columns that were asked for, or one was cut off")
        array, task, raw, state, restarts, status, node, reason, name = map(str.strip, fields)
        if not re.fullmatch(r"[A-Z_]+", state):
            raise ValueError(f"no state: {state}")
        return [
            Job(
                array=int(array),
                index=index,
                raw=int(raw),
                name=name.removesuffix("|").rstrip(),
                state=state,
                restarts=int(restarts),
                exit_status=_exit_status(status),
                node=None if node in ("", "n/a", "(null)") else node,
                reason=reason,
            )
            for index in _indices(task)
        ]
    except ValueError as error:
        raise SchedulerError(f"squeue's answer can't be understood: {line!r} ({error})") from error


def _indices(task: str) -> list[int | None]:
    if task in ("", "N/A"):
        return [None]
    return list(expand(task))


def expand(expression: str) -> list[int]:
    """The indices of ``0-3,7,10-20:5%2``.  Raises ``ValueError``."""
    found: list[int] = []
    ranges, _, throttle = expression.strip("[]").partition("%")
    if throttle and not throttle.isdigit():
        raise ValueError(f"no array expression: {expression}")
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match is None:
            raise ValueError(f"no array expression: {expression}")
        first, last, step = match.groups()
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found


def _exit_status(text: str) -> int:
    """Of ``768`` (older versions: wait's raw status) or ``3:0`` (code and signal)."""
    code, colon, number = text.partition(":")
    if colon:
        return -int(number) if int(number) else int(code)
    raw = int(code)
    # slurmstepd marks what was killed for its memory by a signal that doesn't exist.
    return -(raw & 0x7F) if raw & 0x7F else raw >> 8


def parse_limits(text: str) -> Limits:
    """From the answer to ``scontrol show config``.  Raises ``SchedulerError``."""
    values = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
    try:
        size = int(values["MaxArraySize"])
        age_s = int(values["MinJobAge"].split()[0])
    except (KeyError, ValueError, IndexError):
        raise SchedulerError(
            f"scontrol show config names no MaxArraySize or no MinJobAge: {text[:300]!r}"
        ) from None
    tasks = re.search(r"\bmax_array_tasks=(\d+)", values.get("SchedulerParameters", ""))
    if tasks is not None:
        size = min(size, int(tasks[1]))
    if size < 1:
        raise ConfigError("this cluster allows no job arrays (MaxArraySize = 0)")
    return Limits(size, age_s)


def trouble(program: str, code: int, text: str) -> SchedulerError:
    """The exception for a command that failed, by what it says."""
    said = " ".join(text.split())[-500:] or "nothing"
    kind = SchedulerError
    if _FULL.search(said):
        kind = SchedulerFull
    elif _BUSY.search(said):
        kind = SchedulerBusy
    return kind(f"{program} failed (exit code {code}): {said}")


def clean_environment(environ: Mapping[str, str], options: Iterable[str] = ()) -> dict[str, str]:
    """What sbatch is started with, so that a job is what its script and options say, whoever
    submits it and from within whatever job."""
    given = {option.lstrip("-").partition("=")[0] for option in options}
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SUBMITIT_"))
        or name in _KEPT
        or (name in _DEFAULTS and _DEFAULTS[name] not in given)
    }


def _batches(ids: Iterable[str]) -> Iterable[list[str]]:
    every = list(dict.fromkeys(ids))
    return (every[at : at + _MANY_IDS] for at in range(0, len(every), _MANY_IDS))
