"""What Slurm's words for the state of a job mean to us: hints, each of them."""

from __future__ import annotations

from enum import Enum

from hpc_runner.errors import SchedulerError
from hpc_runner.pipeline.scheduler import Cause, cause_of_exit
from hpc_runner.pipeline.slurm import Job

__all__ = ["Reading", "cause", "reading"]

_QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "RESV_DEL_HOLD"}
_RUNNING = {
    "RUNNING", "COMPLETING", "SUSPENDED", "SIGNALING", "STOPPED", "RESIZING", "STAGE_OUT",
}  # fmt: skip
_MAY_RETURN = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"}
_HELD = {"SPECIAL_EXIT", "REQUEUE_HOLD"}
_ENDED = {"COMPLETED", "FAILED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "CANCELLED"}


class Reading(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    """Or ends, or is suspended: no proof of life."""
    MAY_RETURN = "may return"
    """It has ended in a way that Slurm requeues jobs after: under the same id, mostly at once."""
    HELD = "held"
    """Slurm has given up starting it again; only an administrator would release it."""
    ENDED = "ended"


def reading(job: Job) -> Reading:
    """Raises ``SchedulerError`` for a word that isn't known."""
    state = job.state.partition(" ")[0]
    if state in _HELD or (state == "PENDING" and job.restarts > 0 and _given_up(job.reason)):
        return Reading.HELD
    for words, meaning in (
        (_QUEUED, Reading.QUEUED),
        (_RUNNING, Reading.RUNNING),
        (_MAY_RETURN, Reading.MAY_RETURN),
        (_ENDED, Reading.ENDED),
    ):
        if state in words:
            return meaning
    raise SchedulerError(f"job {job.id} is in a state that is not known: {job.state}")


def _given_up(reason: str) -> bool:
    return reason == "JobHeldAdmin" or "requeued" in reason


def cause(job: Job) -> tuple[Cause, str]:
    """Why a job ended, and a line for people.  COMPLETED may lie: the result file decides."""
    state = job.state.partition(" ")[0]
    if state in ("COMPLETED", "FAILED"):
        return cause_of_exit(job.exit_status)
    if state == "OUT_OF_MEMORY":
        return Cause.FAILED, "it used more memory than its job has"
    if state in ("TIMEOUT", "DEADLINE"):
        return Cause.TIMEOUT, "its time was up"
    if state == "CANCELLED":
        return Cause.STOPPED, "its job was cancelled"
    return Cause.LOST, f"Slurm says {job.state} ({job.reason}) and doesn't start it again"
