"""A worker: the process that runs one shard.

``python -m hpc_runner.sandbox.worker RUN WAVE SHARD`` reads the shard's row group, feeds
agents with one execution per slot, keeps every result as it comes (``ShardStore``), and
ends with exit code 0 when the shard's result file exists, or when the portion of it is
done that it may run (results/portion.py).  Exit code 3: it was asked to stop (SIGTERM,
SIGINT, SIGUSR1, SIGUSR2), has committed what was finished and dropped what was in
flight; starting it again goes on from there.  Any other: it failed, and the last line on
stderr says why.

What a candidate does is a verdict.  When the sandbox fails, the executions in flight are
tried again: first as before, then alone, and after ``infrastructure_retries`` they are
recorded as ``internal_error``.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc_runner.errors import HpcRunnerError, IsolationError, RuntimeFailure
from hpc_runner.model import Verdict
from hpc_runner.results.candidates import read_checked
from hpc_runner.results.portion import Portion, mark_done, read_portion
from hpc_runner.results.store import ShardStore, read_shard, write_heartbeat
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo, read_info
from hpc_runner.sandbox.agenda import Agenda, Work
from hpc_runner.sandbox.client import Hello
from hpc_runner.sandbox.dependencies import read_sets
from hpc_runner.sandbox.environments import pinned_image
from hpc_runner.sandbox.perturbation import perturbation
from hpc_runner.sandbox.preparation import Preparation, given_up, no_agent, unrun
from hpc_runner.sandbox.rows import result_row, weigh
from hpc_runner.sandbox.shardwork import Lane
from hpc_runner.sandbox.starter import StartAgent, agent_starter, die_with

__all__ = ["EXIT_STOPPED", "Worker", "main"]

EXIT_STOPPED = 3
HEARTBEAT_S = 1.0
AGENT_DEATHS = 5
"""In one environment, in a row, without a result in between: then the runtime is at fault,
not a candidate."""


class Worker:
    """Runs one shard; ``run`` may be called once.

    ``start_agent`` comes from the runtime.  Each environment has an agent, started when its
    first execution is due; all of them together run ``slots`` executions at a time.  With
    ``per_execution`` each execution gets an agent (a container) of its own.
    """

    def __init__(
        self,
        run: RunDir,
        info: RunInfo,
        wave: int,
        shard: int,
        *,
        start_agent: StartAgent,
        per_execution: bool,
    ) -> None:
        self._info, self._config = info, info.config
        self._where = (run, wave, shard)
        self._start_agent = start_agent
        self._per_execution = per_execution
        rows = read_shard(run.candidates(wave), shard)
        self._portion = read_portion(run, wave, shard) or Portion("", 0, len(rows), whole=True)
        self._candidates = rows[self._portion.first : self._portion.end]
        checked = read_checked(run.candidates(wave), shard)
        sets = read_sets(run.dependencies(wave))
        self._preparations = [
            Preparation(
                self._candidates,
                self._config.policy,
                checked,
                sets.get(environment.name, {}),
                pinned_image(environment),
            )
            for environment in info.environments
        ]
        # The pid alone would come again after a reboot, the time alone on another node.
        self._writer = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}"
        self._store = ShardStore(run, wave, shard, writer=self._writer)
        environments = len(info.environments)
        for preparation in self._preparations:
            preparation.not_run.update(given_up(self._portion))
        never = {
            (i, n): Verdict(answer["verdict"])
            for n, found in enumerate(self._preparations)
            for i, answer in found.not_run.items()
        }
        self._agenda = Agenda(self._config, len(self._candidates), environments, never)
        self._elsewhere: Counter[str] = Counter()  # verdicts known of the rest of the shard
        self._planned = len(rows) * self._config.rounds * environments
        self._todo = self._agenda.waiting
        self._alone: deque[Work] = deque()
        self._judges = [self._config.judge] * len(self._candidates)
        self._next_id = 0
        self._deaths: Counter[int] = Counter()  # by environment
        self._suspects: set[tuple[int, int]] = set()  # in flight when an agent died
        self._stop = False
        self._next_beat = 0.0
        self._slots = self._config.slots
        alone = [Lane(1) for _ in range(self._slots)]
        together = [Lane(self._slots) for _ in range(environments)]
        self._lanes = alone if per_execution else together
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def stop(self) -> None:
        """Take no more work, commit and return; safe in a signal handler."""
        self._stop = True
        os.write(self._waker, b"!")

    def run(self) -> bool:
        """True when the shard's result exists, or its portion is done; False when stopped.

        Raises HpcRunnerError.
        """
        if self._store.finished:
            return True
        try:
            self._plan()
            self._beat()
            while (self._todo or self._alone or self._in_flight()) and not self._stop:
                self._feed()
                self._collect()
                self._beat()
                if self._store.finished:  # by another live copy of this shard
                    return True
            if self._stop:
                self._store.commit()
                return False
            if self._portion.whole:
                self._store.finish()
            else:
                self._store.commit()
                mark_done(*self._where, self._portion)
            self._beat(last=True)
        finally:
            for lane in self._lanes:
                self._end(lane)
            self._store.close()
        return True

    # -- what there is to do

    def _plan(self) -> None:
        """Tells the agenda what is on disk, and keeps the rows of what is never run."""
        candidates = {candidate_id: i for i, (candidate_id, _, _) in enumerate(self._candidates)}
        environments = {item.name: n for n, item in enumerate(self._info.environments)}
        for known in self._store.recovered():
            candidate_id, name, round_ = known.key
            if candidate_id in candidates and name in environments:
                place = candidates[candidate_id], environments[name]
                self._agenda.recover(*place, round_, known.verdict)
            else:
                self._elsewhere[known.verdict.value] += 1
        for work in self._agenda.begin():
            answer = self._preparations[work.environment].not_run[work.index]
            self._keep(work, no_agent(), answer)

    def _in_flight(self) -> int:
        return sum(len(lane.in_flight) for lane in self._lanes)

    # -- agents

    def _feed(self) -> None:
        while (queue := self._queue()) and (lane := self._lane(queue[0])):
            work = queue.popleft()
            if lane.agent is None and not self._start(lane, work.environment):
                queue.appendleft(work)
                continue
            assert lane.agent is not None
            if not lane.in_flight:
                lane.heard = time.monotonic()
            self._next_id += 1
            lane.in_flight[self._next_id] = work
            try:
                lane.agent.submit(self._request(self._next_id, work))
            except RuntimeFailure as failure:
                self._lost(lane, failure)

    def _queue(self) -> deque[Work] | None:
        """Where the next execution is; one that is suspected of killing agents only when it is
        alone."""
        if self._todo:
            return self._todo
        return self._alone if self._alone and not self._in_flight() else None

    def _lane(self, work: Work) -> Lane | None:
        """The lane for it, if it has room.  An agent is handed one execution more than it has
        slots, so that none waits for us, but no two agents share that many."""
        if self._per_execution:
            return next((lane for lane in self._lanes if not lane.in_flight), None)
        lane = self._lanes[work.environment]
        in_flight = self._in_flight()
        room = in_flight < self._slots or len(lane.in_flight) == in_flight == self._slots
        return lane if room else None

    def _start(self, lane: Lane, environment: int) -> bool:
        """False when it failed, and may be tried again."""
        candidates = [candidate for _, _, candidate in self._candidates]
        info = self._info.environments[environment]
        try:
            lane.agent = self._start_agent(info, lane.slots, candidates)
        except IsolationError:
            raise
        except RuntimeFailure as failure:
            self._died(environment, failure)
            return False
        self._selector.register(lane.agent, selectors.EVENT_READ, lane)
        return True

    def _request(self, identity: int, work: Work) -> dict[str, Any]:
        config = self._config
        made = self._preparations[work.environment].execution(
            self._candidates[work.index][2],
            config,
            self._judges[work.index],
            perturbation(config.seed, work.round) if config.perturb else {},
            config.workers * config.slots,  # no fewer than share a node
        )
        return {"id": identity, **made}

    def _collect(self) -> None:
        if not self._in_flight():
            return
        for key, _ in self._selector.select(max(0.0, self._next_beat - time.monotonic())):
            lane = key.data
            if lane is None:
                os.read(self._wake, 100)
                continue
            try:
                answers = lane.agent.answers(0.0)
            except RuntimeFailure as failure:
                self._lost(lane, failure)
                continue
            lane.heard = time.monotonic()
            for answer in answers:
                self._receive(lane, answer)
        for lane in self._lanes:
            if lane.silent(self._candidates):
                self._lost(lane, RuntimeFailure("the agent doesn't answer any more"))

    def _lost(self, lane: Lane, failure: RuntimeFailure) -> None:
        """The agent is gone: what it worked on is tried again elsewhere."""
        print(f"agent lost: {failure}", file=sys.stderr)
        works = list(lane.in_flight.values())
        assert lane.agent is not None
        hello = lane.agent.hello
        self._end(lane, by_force=True)
        for work in works:
            self._again(work, hello, str(failure))
        news = {(work.index, work.environment) for work in works} - self._suspects
        self._suspects |= news
        if news:  # those that were there before explain their agent's death
            self._died(works[0].environment, failure)

    def _died(self, environment: int, failure: RuntimeFailure) -> None:
        self._deaths[environment] += 1
        if self._deaths[environment] >= AGENT_DEATHS:
            name = self._info.environments[environment].name
            raise RuntimeFailure(
                f"{AGENT_DEATHS} agents of {name} in a row died without a result; the last one:"
                f" {failure}"
            ) from failure

    def _again(self, work: Work, hello: Hello, reason: str) -> None:
        if work.attempt >= self._config.infrastructure_retries:
            answer = unrun(Verdict.INTERNAL_ERROR, "exit", "RuntimeFailure", reason)
            self._keep(work, hello, answer)
            return
        queue = self._todo if work.attempt == 0 else self._alone
        queue.append(replace(work, attempt=work.attempt + 1))

    def _end(self, lane: Lane, *, by_force: bool = False) -> None:
        if lane.agent is not None:
            self._selector.unregister(lane.agent)
            if by_force or lane.in_flight:
                lane.agent.abort()
            else:
                lane.agent.close()
            lane.agent = None
        lane.in_flight.clear()

    # -- results

    def _receive(self, lane: Lane, answer: dict[str, Any]) -> None:
        work = lane.in_flight.pop(answer.get("id") or 0, None)
        assert lane.agent is not None
        hello = lane.agent.hello
        if work is not None and answer.get("op") == "refused":
            # Nothing that another agent would judge otherwise.
            reason = str(answer.get("reason"))
            answer = unrun(Verdict.INTERNAL_ERROR, "exit", "Refused", reason)
            work.attempt = self._config.infrastructure_retries
        elif work is None or answer.get("op") != "result":
            raise RuntimeFailure(f"the agent answered what was not asked: {str(answer)[:300]}")
        if self._per_execution:
            self._end(lane)
        if answer["verdict"] == Verdict.INTERNAL_ERROR.value:
            reason = f"{answer['error_type']}: {answer['error_message']}"
            if work.attempt >= self._config.infrastructure_retries:
                self._keep(work, hello, answer)
            else:
                self._again(work, hello, reason)
            return
        self._deaths[work.environment] = 0
        if answer["judge"] == "inline" and self._judges[work.index] == "auto":
            self._judges[work.index] = "inline"  # the next rounds need not try
        signs = self._preparations[work.environment].signs.get(work.index, ())
        weigh(answer, signs, self._config.suspicious)
        self._keep(work, hello, answer)

    def _keep(self, work: Work, hello: Hello, answer: dict[str, Any]) -> None:
        candidate_id, _, candidate = self._candidates[work.index]
        _, wave, shard = self._where
        environment = self._info.environments[work.environment]
        row = result_row(self._info, environment, hello, candidate, answer)
        row.update(wave=wave, shard=shard, candidate_id=candidate_id)
        row.update(round=work.round, attempt=work.attempt)
        self._store.append(row)
        self._agenda.finish(work, Verdict(answer["verdict"]))

    def _beat(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if now < self._next_beat and not last:
            return
        self._next_beat = now + HEARTBEAT_S
        run, wave, shard = self._where
        write_heartbeat(
            run.heartbeat(wave, shard),
            {
                "wave": wave,
                "shard": shard,
                "writer": self._writer,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "done": self._agenda.done + self._elsewhere.total(),
                "planned": self._planned,
                "verdicts": dict(self._agenda.verdicts + self._elsewhere),
                "in_flight": self._in_flight(),
            },
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hpc_runner.sandbox.worker", description="Run one shard of a run."
    )
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("wave", type=int)
    parser.add_argument("shard", type=int)
    parser.add_argument("--die-with-parent", type=int, metavar="PID", help="stop when PID is gone")
    options = parser.parse_args(arguments)
    try:
        run = RunDir(options.run)
        info = read_info(run)
        worker = Worker(
            run,
            info,
            options.wave,
            options.shard,
            start_agent=agent_starter(info, read_sets(run.dependencies(options.wave))),
            per_execution=info.config.isolation == "container",
        )
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: worker.stop())
        if options.die_with_parent is not None:
            die_with(options.die_with_parent)
        return 0 if worker.run() else EXIT_STOPPED
    except HpcRunnerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        # Trying again gives no isolation that isn't there.
        return 2 if isinstance(error, IsolationError) else error.exit_code


if __name__ == "__main__":
    sys.exit(main())
