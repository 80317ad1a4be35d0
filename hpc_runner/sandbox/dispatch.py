"""Warm agents that any number of threads give executions to, for as long as they like.

One thread of ours holds the agents: it starts the one of an environment when its first
execution is due, hands over as many executions as there are slots, and starts an agent
anew when it has died, hangs, or has less room than an execution needs.  What was in flight
then is tried again, in the end alone.  An execution that the sandbox fails at is an
exception of its future; only a program's own behaviour is an answer.

Executions of one environment and perturbation are done one after the other, as far as that
is fair: another perturbation often means another interpreter, which costs ten executions.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from hpc_runner.errors import HpcRunnerError, IsolationError, RuntimeFailure
from hpc_runner.logs import event
from hpc_runner.model import Candidate, Limits, Verdict
from hpc_runner.runinfo import RunInfo
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.dependencies import distinct
from hpc_runner.sandbox.jobs import Answered, Job, JobQueue, refuse
from hpc_runner.sandbox.native import needed
from hpc_runner.sandbox.shardwork import SILENCE_S, longest_s
from hpc_runner.sandbox.starter import StartAgent

__all__ = ["Answered", "Dispatcher"]

DEATHS = 5
"""In one environment, in a row, without an answer in between: what waits for it fails."""
LOOK_S = 1.0
"""How often it is looked whether an agent hangs."""


@dataclass
class _Lane:
    """The agent of one environment."""

    agent: Agent | None = None
    in_flight: dict[int, Job] = field(default_factory=dict)
    heard: float = 0.0
    deaths: int = 0
    room: Limits | None = None
    """The largest of what its executions needed so far; the agent was started for these."""
    imports: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    """The languages and dependencies that it was started with."""

    def silent(self) -> bool:
        if not self.in_flight or time.monotonic() - self.heard < SILENCE_S:
            return False
        longest = max(longest_s(job.candidate) for job in self.in_flight.values())
        return time.monotonic() - self.heard > SILENCE_S + longest


class Dispatcher:
    """``info`` says the environments and how often an execution is tried again.  At most
    ``slots`` executions run at a time, over all environments.  Starts nothing before the first
    execution."""

    def __init__(self, info: RunInfo, slots: int, start_agent: StartAgent) -> None:
        self._info = info
        self._slots = slots
        self._start_agent = start_agent
        self._retries = info.config.infrastructure_retries
        self._lanes = [_Lane() for _ in info.environments]
        self._lock = threading.Lock()
        self._inbox: deque[Job] = deque()
        self._waiting, self._alone = JobQueue(), JobQueue()
        self._next_id = 0
        self._closing = False
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="hpc-runner agents", daemon=True)
        self._started = self._ended = False
        self._pid = os.getpid()

    def submit(
        self, candidate: Candidate, environment: int, request: Mapping[str, Any]
    ) -> Future[Answered]:
        """Have it executed; ``request`` is what ``Preparation.execution`` made.

        The future is cancelled by cancelling it as long as it waits.  Its exception is a
        ``RuntimeFailure``.  Callbacks run in the thread that holds the agents: they must be
        short.  Raises ``RuntimeFailure`` when closed, and in a process that was forked off.
        """
        if os.getpid() != self._pid:
            raise RuntimeFailure("the pool of agents is another process's; make one after forking")
        future: Future[Answered] = Future()
        with self._lock:
            if self._closing:
                raise RuntimeFailure("the pool of agents is closed")
            if not self._started:
                self._started = True
                self._thread.start()
            self._inbox.append(Job(candidate, environment, request, future))
            if len(self._inbox) == 1:
                self._stir()
        return future

    @property
    def closed(self) -> bool:
        return self._closing

    @property
    def waiting(self) -> int:
        """Executions that no agent has yet; of the moment."""
        return len(self._inbox) + len(self._waiting) + len(self._alone)

    @property
    def running(self) -> int:
        """Executions that agents have; of the moment."""
        return sum(len(lane.in_flight) for lane in self._lanes)

    def close(self) -> None:
        """End all agents; what is not done fails with ``RuntimeFailure``.  Idempotent."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closing = True
            if self._started and not self._ended:
                self._stir()
        if not self._started:
            self._shut()
        elif threading.current_thread() is not self._thread:
            self._thread.join()

    def _stir(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it will wake up
            os.write(self._waker, b"!")

    # -- in the thread

    def _serve(self) -> None:
        try:
            while not self._closing:
                self._take()
                self._feed()
                self._collect()
        except BaseException as error:  # ours, whatever it is: nobody may wait for ever
            self._closing = True
            self._fail_all(RuntimeFailure(f"the pool of agents failed: {error!r}"))
            raise
        finally:
            self._fail_all(RuntimeFailure("the pool of agents was closed"))
            self._shut()

    def _take(self) -> None:
        with self._lock:
            while self._inbox:
                self._waiting.append(self._inbox.popleft())

    def _feed(self) -> None:
        while (queue := self._queue()) is not None:
            job = queue.first()
            lane = self._lanes[job.environment]
            begun = job.attempt > 0 or job.future.running()
            if not begun and not job.future.set_running_or_notify_cancel():
                queue.popleft()
                continue
            if not self._ready(lane, job):
                if lane.in_flight or self._full(lane):
                    return
                continue  # it failed to start: what can be done about it was
            queue.popleft()
            self._hand_over(lane, job)

    def _queue(self) -> JobQueue | None:
        """Where the next execution is; while one that is suspected of killing agents waits for
        its turn or has it, no other one starts."""
        in_flight = [job for lane in self._lanes for job in lane.in_flight.values()]
        if self._alone:
            return None if in_flight else self._alone
        if not self._waiting or any(job.attempt > 1 for job in in_flight):
            return None
        return self._waiting

    def _full(self, lane: _Lane) -> bool:
        """An agent is handed one execution more than it has slots, so that none waits for us,
        but no two agents share that many."""
        running = self.running
        return running >= self._slots and not len(lane.in_flight) == running == self._slots

    def _ready(self, lane: _Lane, job: Job) -> bool:
        """The lane's agent runs, has room for it, and has a slot."""
        if self._full(lane):
            return False
        room = _larger(lane.room, needed(job.candidate))
        imports = (job.candidate.language, distinct(job.candidate.dependencies))
        if lane.agent is not None and (room != lane.room or imports not in lane.imports):
            if lane.in_flight:
                return False
            self._end(lane)
        if lane.agent is None:
            lane.room = room
            lane.imports.add(imports)
            return self._start(lane, job.environment)
        return True

    def _start(self, lane: _Lane, environment: int) -> bool:
        assert lane.room is not None
        examples = [
            Candidate(
                task_id="", code="", language=language, limits=lane.room, dependencies=imports
            )
            for language, imports in sorted(lane.imports)
        ]
        info = self._info.environments[environment]
        try:
            lane.agent = self._start_agent(info, self._slots, examples)
        except IsolationError as error:
            self._fail(environment, error)
            return False
        except HpcRunnerError as error:
            self._died(lane, environment, error)
            return False
        self._selector.register(lane.agent, selectors.EVENT_READ, (lane, environment))
        hello = lane.agent.hello
        event(
            "security",
            "agent started",
            run_id=self._info.run_id,
            environment=info.name,
            isolation=hello.isolation,
            mechanisms=",".join(hello.mechanisms),
            missing=",".join(sorted(hello.missing)) or None,
        )
        return True

    def _hand_over(self, lane: _Lane, job: Job) -> None:
        assert lane.agent is not None
        if not lane.in_flight:
            lane.heard = time.monotonic()
        self._next_id += 1
        lane.in_flight[self._next_id] = job
        try:
            lane.agent.submit({**job.request, "id": self._next_id})
        except RuntimeFailure as failure:
            self._lost(lane, job.environment, failure)

    def _collect(self) -> None:
        for key, _ in self._selector.select(LOOK_S if self.running else None):
            if key.data is None:
                os.read(self._wake, 4096)
                continue
            lane, environment = key.data
            try:
                answers = lane.agent.answers(0.0)
                lane.heard = time.monotonic()
                for answer in answers:
                    self._receive(lane, answer)
            except RuntimeFailure as failure:
                self._lost(lane, environment, failure)
        for environment, lane in enumerate(self._lanes):
            if lane.silent():
                silence = RuntimeFailure("the agent doesn't answer any more")
                self._lost(lane, environment, silence)

    def _receive(self, lane: _Lane, answer: dict[str, Any]) -> None:
        job = lane.in_flight.pop(answer.get("id") or 0, None)
        if job is None or answer.get("op") not in ("result", "refused"):
            raise RuntimeFailure(f"the agent answered what was not asked: {str(answer)[:300]}")
        if answer["op"] == "refused":  # another agent would not do otherwise
            reason = f"the agent refused the execution: {answer.get('reason')}"
            job.future.set_exception(RuntimeFailure(reason))
        elif answer["verdict"] == Verdict.INTERNAL_ERROR.value:
            self._again(job, f"{answer['error_type']}: {answer['error_message']}")
        else:
            lane.deaths = 0
            assert lane.agent is not None
            job.future.set_result(Answered(lane.agent.hello, answer))

    def _lost(self, lane: _Lane, environment: int, failure: RuntimeFailure) -> None:
        jobs = list(lane.in_flight.values())
        name = self._info.environments[environment].name
        event(
            "execution",
            f"agent lost: {failure}",
            level="warning",
            run_id=self._info.run_id,
            environment=name,
            in_flight=len(jobs),
        )
        self._end(lane, by_force=True)
        for job in jobs:
            self._again(job, str(failure))
        if not jobs or any(job.attempt == 0 for job in jobs):
            # Those that were there before explain their agent's death.
            self._died(lane, environment, failure)

    def _again(self, job: Job, reason: str) -> None:
        if job.attempt >= self._retries:
            job.future.set_exception(RuntimeFailure(f"the sandbox failed: {reason}"))
            return
        queue = self._waiting if job.attempt == 0 else self._alone
        queue.append(replace(job, attempt=job.attempt + 1))

    def _died(self, lane: _Lane, environment: int, error: HpcRunnerError) -> None:
        lane.deaths += 1
        if lane.deaths >= DEATHS:
            name = self._info.environments[environment].name
            self._fail(
                environment,
                RuntimeFailure(
                    f"{DEATHS} agents of {name} in a row died without an answer; the last one:"
                    f" {error}"
                ),
            )

    def _fail(self, environment: int, error: HpcRunnerError) -> None:
        """What waits for an environment gets the error; what comes later is tried anew."""
        self._lanes[environment].deaths = 0
        for queue in (self._waiting, self._alone):
            for job in queue.of(environment):
                refuse(job, error)

    def _fail_all(self, error: HpcRunnerError) -> None:
        self._take()
        jobs: list[Job] = []
        for environment, lane in enumerate(self._lanes):
            jobs += [*lane.in_flight.values(), *self._waiting.of(environment)]
            jobs += self._alone.of(environment)
            self._end(lane, by_force=bool(lane.in_flight))
        for job in jobs:
            refuse(job, error)

    def _end(self, lane: _Lane, *, by_force: bool = False) -> None:
        lane.in_flight.clear()
        if lane.agent is None:
            return
        agent, lane.agent = lane.agent, None
        self._selector.unregister(agent)
        if by_force:
            agent.abort()
        else:
            agent.close()

    def _shut(self) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                self._selector.close()
                os.close(self._wake)
                os.close(self._waker)


def _larger(room: Limits | None, limits: Limits) -> Limits:
    """What has room for both, as far as an agent is started for it."""
    if room is None:
        return limits
    return room.model_copy(
        update={
            name: max(getattr(room, name), getattr(limits, name))
            for name in ("memory_bytes", "file_bytes", "processes")
        }
    )
