"""Executions that wait for an agent, or that one has."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from hpc_runner.errors import HpcRunnerError
from hpc_runner.model import Candidate
from hpc_runner.sandbox.client import Hello

__all__ = ["Answered", "Job", "JobQueue", "refuse"]

STREAK = 128
"""After so many executions of one kind it is another kind's turn."""


class Answered(NamedTuple):
    """What an agent answered, and what it had said of itself."""

    hello: Hello
    answer: dict[str, Any]


@dataclass(frozen=True)
class Job:
    candidate: Candidate
    environment: int
    request: Mapping[str, Any]
    future: Future[Answered]
    attempt: int = 0

    @property
    def kind(self) -> Hashable:
        return self.environment, *sorted(self.request["perturbation"].items())


class JobQueue:
    """Jobs of one kind are together; kinds take turns, and within a kind the first is first."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, deque[Job]] = {}
        self._streak = self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, job: Job) -> None:
        self._count += 1
        self._kinds.setdefault(job.kind, deque()).append(job)

    def first(self) -> Job:
        return next(iter(self._kinds.values()))[0]

    def popleft(self) -> Job:
        kind, jobs = next(iter(self._kinds.items()))
        job = jobs.popleft()
        self._count -= 1
        self._streak += 1
        if not jobs or self._streak >= STREAK:
            self._streak = 0
            del self._kinds[kind]
            if jobs:
                self._kinds[kind] = jobs
        return job

    def of(self, environment: int) -> list[Job]:
        """Taken out."""
        jobs = [job for jobs in self._kinds.values() for job in jobs]
        self._kinds, self._count = {}, 0
        for job in jobs:
            if job.environment != environment:
                self.append(job)
        return [job for job in jobs if job.environment == environment]


def refuse(job: Job, error: HpcRunnerError) -> None:
    if job.future.running() or job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
