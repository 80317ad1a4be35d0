"""One candidate in warm agents: its executions, and the vote on them.

The rounds, their order and the rules are the pipeline's: preparation.py says what an
execution is given, agenda.py which ones there are, results/vote.py what they come to.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from hpc_runner.corpus.policy import check, refused
from hpc_runner.errors import DependencyError, HpcRunnerError, RuntimeFailure
from hpc_runner.logs import event
from hpc_runner.model import Candidate, Verdict
from hpc_runner.results.candidates import Checked
from hpc_runner.results.reliability import Observation, Reliability, explain, reliability
from hpc_runner.results.store import ResultRow
from hpc_runner.results.vote import Outcome, outcome
from hpc_runner.runinfo import RunInfo
from hpc_runner.sandbox.agenda import Agenda, Work
from hpc_runner.sandbox.client import Hello
from hpc_runner.sandbox.dependencies import Sets
from hpc_runner.sandbox.dispatch import Answered, Dispatcher
from hpc_runner.sandbox.environments import pinned_image
from hpc_runner.sandbox.perturbation import from_text, perturbation
from hpc_runner.sandbox.preparation import Preparation, no_agent
from hpc_runner.sandbox.rows import result_row, weigh

__all__ = ["Execution", "Prepared", "Vote", "Voting"]


@dataclass(frozen=True)
class Execution:
    """One run of a candidate."""

    row: ResultRow
    """All columns of the results (docs/results.md); wave and shard are 0."""
    outputs: list[list[str]]
    """[stdout, stderr] of each run of the program, whole as far as the limit goes; empty where
    nothing was run, or they were not asked for."""

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.row["verdict"])

    @property
    def stdout(self) -> str:
        """Of the first run of the program; its end, where outputs were not asked for."""
        return str(self.outputs[0][0] if self.outputs else self.row["stdout_tail"])

    @property
    def stderr(self) -> str:
        return str(self.outputs[0][1] if self.outputs else self.row["stderr_tail"])


@dataclass(frozen=True)
class Vote:
    """What all executions of a candidate come to."""

    candidate: Candidate
    outcome: Outcome
    cause: str | None
    """What a disagreement depends on (docs/votes.md), where it is known."""
    executions: tuple[Execution, ...]
    """Those that were judged, by round, then environment."""
    trouble: tuple[str, ...]
    """Why executions could not be judged: they are no part of the vote."""
    rounds: int
    """Executions of later rounds are not counted."""

    @property
    def verdict(self) -> Verdict | None:
        """None: no execution could be judged."""
        return self.outcome.verdict

    @property
    def accepted(self) -> bool:
        return self.outcome.accepted

    @property
    def validation_score(self) -> float:
        """The mean share of its tests that an execution passed; 0 where there was none."""
        shares = [_share_passed(execution.row) for execution in self.voting]
        return round(math.fsum(shares) / len(shares), 9) if shares else 0.0

    @property
    def confidence_level(self) -> float:
        """The probability that most executions would end so; 0 where there was none."""
        n = self.outcome.judged
        if not n:
            return 0.0
        alike = sum(execution.verdict is self.verdict for execution in self.voting)
        favourable = sum(math.comb(n + 1, j) for j in range(alike + 1))
        return float(favourable / (1 << (n + 1)))

    @property
    def voting(self) -> tuple[Execution, ...]:
        """The executions that are counted: not those that looked for the cause of a
        disagreement."""
        return tuple(e for e in self.executions if e.row["round"] < self.rounds)

    @property
    def reliability(self) -> Reliability:
        if not self.outcome.judged:
            return Reliability.UNJUDGED
        return reliability(self.cause) if self.outcome.flaky else Reliability.STABLE


class Prepared:
    """A candidate, checked and with its dependencies, ready to be executed anywhere."""

    def __init__(
        self,
        info: RunInfo,
        dispatcher: Dispatcher,
        sets: Mapping[str, Sets],
        candidate: Candidate,
        resolve: Callable[[Candidate], None],
    ) -> None:
        """``resolve`` puts into ``sets`` what the candidate depends on; it is called when there
        is something, and the policy lets the candidate run."""
        self.info = info
        self._dispatcher = dispatcher
        self.candidate = candidate
        self._id = candidate.candidate_id
        findings = check(candidate, info.config.policy)
        bad = refused(findings)
        found = Checked(tuple(map(str, findings)), None if bad is None else str(bad))
        if candidate.dependencies and bad is None:
            resolve(candidate)
        self.at = [
            Preparation(
                [(self._id, 0, candidate)],
                info.config.policy,
                {self._id: found} if findings else {},
                sets[environment.name],
                pinned_image(environment),
            )
            for environment in info.environments
        ]

    def execute(self, place: int, round_: int, judge: str, outputs: bool) -> Future[Execution]:
        done: Future[Execution] = Future()
        preparation, config = self.at[place], self.info.config
        answer = preparation.not_run.get(0)
        if answer is not None:
            done.set_running_or_notify_cancel()
            if answer["verdict"] == Verdict.INTERNAL_ERROR.value:
                missing = answer["error_type"] == DependencyError.__name__
                error = DependencyError if missing else RuntimeFailure
                done.set_exception(error(answer["error_message"]))
            else:
                row = self._row(place, round_, no_agent(), answer)
                event(
                    "security",
                    f"not run: {row['error_type']}",
                    level="warning",
                    run_id=row["run_id"],
                    task_id=row["task_id"],
                    candidate=self._id.hex(),
                )
                done.set_result(Execution(row, []))
            return done
        made = perturbation(config.seed, round_) if config.perturb else {}
        request = preparation.execution(self.candidate, config, judge, made, config.slots)
        if outputs:
            request["outputs"] = True
        asked = self._dispatcher.submit(self.candidate, place, request)
        asked.add_done_callback(partial(self._answered, done, place, round_))
        done.add_done_callback(lambda _: asked.cancel() if done.cancelled() else None)
        return done

    def _answered(
        self, done: Future[Execution], place: int, round_: int, asked: Future[Answered]
    ) -> None:
        if asked.cancelled() or not done.set_running_or_notify_cancel():
            done.cancel()
            return
        try:
            hello, answer = asked.result()
            weigh(answer, self.at[place].signs.get(0, ()), self.info.config.suspicious)
            row = self._row(place, round_, hello, answer)
            _note(row)
            done.set_result(Execution(row, answer.get("outputs") or []))
        except Exception as error:
            done.set_exception(error)

    def _row(self, place: int, round_: int, hello: Hello, answer: dict[str, Any]) -> ResultRow:
        environment = self.info.environments[place]
        row = result_row(self.info, environment, hello, self.candidate, answer)
        row.update(wave=0, shard=0, candidate_id=self._id, round=round_, attempt=0)
        return row


class Voting:
    """The executions of one candidate, one after the other as an agenda has them."""

    def __init__(self, prepared: Prepared, outputs: bool, once: bool) -> None:
        self._config = config = prepared.info.config
        places = 1 if once else len(prepared.at)
        if once:
            config = config.model_copy(update={"rounds": 1, "extra_rounds": 0})
        self._prepared = prepared
        self._outputs = outputs
        self._judge: str = self._config.judge
        self.vote: Future[Vote] = Future()
        never = {
            (0, place): Verdict(preparation.not_run[0]["verdict"])
            for place, preparation in enumerate(prepared.at[:places])
            if 0 in preparation.not_run
        }
        self._agenda = Agenda(config, 1, places, never)
        self._lock = threading.RLock()
        self._open = 1  # until all that is sure has begun
        self._done: list[tuple[Work, Execution]] = []
        self._trouble: list[str] = []
        with self._lock:
            for work in self._agenda.begin():
                self._start(work)
            self._open -= 1
            self._go_on()

    def _go_on(self) -> None:
        while self._agenda.waiting and not self.vote.cancelled():
            self._start(self._agenda.waiting.popleft())
        if not self._open and not self.vote.done() and self.vote.set_running_or_notify_cancel():
            self.vote.set_result(self._result())

    def _start(self, work: Work) -> None:
        self._open += 1
        try:
            future = self._prepared.execute(
                work.environment, work.round, self._judge, self._outputs
            )
        except HpcRunnerError as error:  # the pool was closed meanwhile
            future = Future()
            future.set_exception(error)
        future.add_done_callback(partial(self._finished, work))

    def _finished(self, work: Work, future: Future[Execution]) -> None:
        with self._lock:
            self._open -= 1
            verdict = Verdict.INTERNAL_ERROR
            try:
                execution = future.result()
                verdict = execution.verdict
                self._done.append((work, execution))
                if execution.row["judge"] == "inline" and self._judge == "auto":
                    self._judge = "inline"  # the next rounds need not try
            except HpcRunnerError as error:
                self._trouble.append(str(error))
            self._agenda.finish(work, verdict)
            self._go_on()

    def _result(self) -> Vote:
        self._done.sort(key=lambda item: (item[0].round, item[0].environment))
        executions = tuple(execution for _, execution in self._done)
        counts = Counter(
            execution.verdict for work, execution in self._done if work.round < self._config.rounds
        )
        counts[Verdict.INTERNAL_ERROR] += len(self._trouble)
        found = outcome(counts, self._config.consensus_threshold)
        cause = None
        if len({execution.verdict for execution in executions}) > 1:
            cause = explain([_observed(execution.row) for execution in executions]).cause
        candidate = self._prepared.candidate
        return Vote(candidate, found, cause, executions, tuple(self._trouble), self._config.rounds)


def _share_passed(row: ResultRow) -> float:
    if row["verdict"] == Verdict.ACCEPTED.value:
        return 1.0
    return row["tests_passed"] / row["tests_total"] if row["tests_total"] else 0.0


def _note(row: ResultRow) -> None:
    about = {name: row[name] for name in ("run_id", "task_id", "environment", "round", "verdict")}
    about["candidate"] = row["candidate_id"].hex()
    event("execution", "executed", level="debug", wall_s=row["wall_s"], **about)
    for sign in row["suspicion"]:
        event("security", sign, level="warning", **about)


def _observed(row: ResultRow) -> Observation:
    told = row["perturbation"]
    dimensions = None if told is None else frozenset(from_text(told))
    return Observation(row["environment"], dimensions, Verdict(row["verdict"]))
