"""Warm agents for whoever judges programs a few at a time: one execution, or a whole vote.

    with WarmPool(rounds=3) as pool:
        execution = pool.execute_sync(candidate)       # one execution
        vote = pool.vote_sync(candidate)               # all its rounds, as a run has them
        for vote in pool.votes(candidates): ...        # in order, as many at a time as fit

It is the pipeline without its files: the same agents, preparation, rounds and rules of the
vote.  Every call is safe from any thread and beside a running event loop.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Self

from hpc_runner import __version__
from hpc_runner.config import RunConfig
from hpc_runner.errors import ConfigError, RuntimeFailure
from hpc_runner.executions import Execution, Prepared, Vote, Voting
from hpc_runner.model import Candidate
from hpc_runner.results.schema import SCHEMA_VERSION
from hpc_runner.runinfo import EnvironmentInfo, RunInfo
from hpc_runner.sandbox.dependencies import (
    ResolvedSet,
    Sets,
    cache_directory,
    distinct,
    resolve_all,
)
from hpc_runner.sandbox.dispatch import Dispatcher
from hpc_runner.sandbox.environments import named
from hpc_runner.sandbox.readiness import chosen_runtime, made_ready, target
from hpc_runner.sandbox.starter import agent_starter

__all__ = ["SLOTS", "Execution", "Vote", "WarmPool"]

SLOTS = 5
"""Executions at a time, if nothing else is said."""
AHEAD = 64
"""Candidates that ``votes`` has under way: enough for executions of one kind to be many."""


class WarmPool:
    """``options`` are those of ``RunConfig`` by name: runtime, environments, python, slots (5),
    rounds, limits (they replace those of candidates), policy, require_isolation...

    ``install=False``: dependencies must be among those that ``prepare`` was told; others are
    refused, not installed.  Nothing is started before ``open``, which any use does by itself.
    Agents end with ``close``, the pool's end as a context, or this process's.
    """

    def __init__(
        self,
        config: RunConfig | None = None,
        *,
        install: bool = True,
        say: Callable[[str], None] = lambda _: None,
        **options: Any,
    ) -> None:
        if config is not None and options:
            raise ConfigError("a pool takes a configuration or options, not both")
        self.config = config or RunConfig.parse({"corpus": (), "slots": SLOTS, **options})
        self._install = install
        self._say = say
        self._lock = threading.Lock()
        self._sets: dict[str, Sets] = {}
        self._info: RunInfo | None = None
        self._dispatcher: Dispatcher | None = None

    # -- opening and closing

    def open(self) -> RunInfo:
        """Choose the runtime and make its environments ready.  Raises what a plan raises:
        ``ConfigError``, ``ImageError``, ``RuntimeFailure``."""
        with self._lock:
            if self._info is not None:
                return self._info
            runtime, reason = chosen_runtime(self.config)
            environments = tuple(
                made_ready(self.config, runtime, environment, self._say)
                for environment in named(self.config, runtime)
            )
            info = _info(self.config, runtime.name, reason, environments)
            self._sets.update({environment.name: {} for environment in environments})
            self._dispatcher = Dispatcher(info, self.config.slots, agent_starter(info, self._sets))
            weakref.finalize(self, self._dispatcher.close)
            self._info = info
            return info

    def close(self) -> None:
        """End the agents; what is still to be done fails with ``RuntimeFailure``.  Idempotent."""
        if self._dispatcher is not None:
            self._dispatcher.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def environments(self) -> tuple[EnvironmentInfo, ...]:
        return self.open().environments

    @property
    def load(self) -> tuple[int, int]:
        """Executions that run and that wait, of the moment."""
        if self._dispatcher is None:
            return 0, 0
        return self._dispatcher.running, self._dispatcher.waiting

    def prepare(self, dependencies: Iterable[str]) -> list[ResolvedSet]:
        """Have these dependencies, together, for each environment.  A set that can't be had says
        why.  Raises ``StorageError``."""
        wanted = distinct(dependencies)
        found = []
        for environment in self.environments:
            known = self._sets[environment.name].get(wanted)
            if known is None:
                (known,) = resolve_all(
                    [wanted],
                    target(environment),
                    wheelhouse=self.config.wheelhouse,
                    cache=cache_directory(),
                )
                with self._lock:
                    sets = self._sets[environment.name]
                    self._sets[environment.name] = {**sets, wanted: known}
            found.append(known)
        return found

    # -- one execution

    def submit(
        self,
        candidate: Candidate,
        round_: int = 0,
        environment: str | None = None,
        *,
        outputs: bool = True,
    ) -> Future[Execution]:
        """Have it executed once, in the first environment if none is named.

        The future's exception is a ``RuntimeFailure`` or ``DependencyError``: trouble of the
        sandbox is never a verdict.  Raises ``ConfigError`` for an environment that there isn't,
        and what ``open`` raises.
        """
        prepared = self._prepared(candidate)
        return prepared.execute(self._place(environment), round_, self.config.judge, outputs)

    async def execute(
        self,
        candidate: Candidate,
        round_: int = 0,
        environment: str | None = None,
        *,
        outputs: bool = True,
    ) -> Execution:
        """``submit``, awaited; its errors are raised."""
        if self._info is None or candidate.dependencies:
            done = await asyncio.to_thread(
                self.submit, candidate, round_, environment, outputs=outputs
            )
        else:
            done = self.submit(candidate, round_, environment, outputs=outputs)
        return await asyncio.wrap_future(done)

    def execute_sync(
        self,
        candidate: Candidate,
        round_: int = 0,
        environment: str | None = None,
        *,
        outputs: bool = True,
    ) -> Execution:
        """``submit``, waited for; its errors are raised."""
        return self.submit(candidate, round_, environment, outputs=outputs).result()

    # -- votes

    def submit_vote(
        self, candidate: Candidate, *, outputs: bool = False, once: bool = False
    ) -> Future[Vote]:
        """Have it executed in all rounds and environments, as far as these can matter; ``once``:
        in round 0 of the first environment, and no more.

        What the sandbox fails at is no part of the vote: the future has an exception only when
        something else is broken.  Raises what ``open`` raises.
        """
        return Voting(self._prepared(candidate), outputs, once).vote

    async def vote(
        self, candidate: Candidate, *, outputs: bool = False, once: bool = False
    ) -> Vote:
        """``submit_vote``, awaited."""
        if self._info is None or candidate.dependencies:
            done = await asyncio.to_thread(self.submit_vote, candidate, outputs=outputs, once=once)
        else:
            done = self.submit_vote(candidate, outputs=outputs, once=once)
        return await asyncio.wrap_future(done)

    def vote_sync(self, candidate: Candidate, *, outputs: bool = False, once: bool = False) -> Vote:
        """``submit_vote``, waited for."""
        return self.submit_vote(candidate, outputs=outputs, once=once).result()

    def votes(
        self, candidates: Iterable[Candidate], *, ahead: int | None = None, outputs: bool = False
    ) -> Iterator[Vote]:
        """The votes on ``candidates``, in their order, as they are asked for.

        At most ``ahead`` candidates (64) are taken before the vote on the
        first of them is: memory doesn't grow with their number.  Closing the iterator drops
        what has not begun.
        """
        ahead = ahead or AHEAD
        pending: deque[Future[Vote]] = deque()
        try:
            for candidate in candidates:
                pending.append(self.submit_vote(candidate, outputs=outputs))
                if len(pending) >= ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    # -- inside

    def _prepared(self, candidate: Candidate) -> Prepared:
        info = self.open()
        assert self._dispatcher is not None
        if self._dispatcher.closed:
            raise RuntimeFailure("the pool of agents is closed")
        limits = self.config.limits.apply(candidate.limits)
        if limits != candidate.limits:
            candidate = candidate.model_copy(update={"limits": limits})
        return Prepared(info, self._dispatcher, self._sets, candidate, self._resolve)

    def _place(self, environment: str | None) -> int:
        names = [item.name for item in self.environments]
        if environment is None:
            return 0
        if environment not in names:
            raise ConfigError(
                f"there is no environment {environment!r} in this pool; there are"
                f" {', '.join(names)}"
            )
        return names.index(environment)

    def _resolve(self, candidate: Candidate) -> None:
        if self._install:
            self.prepare(candidate.dependencies)
            return
        wanted = distinct(candidate.dependencies)
        unknown = ResolvedSet(requirements=wanted, error="it was not installed beforehand")
        for name, sets in self._sets.items():
            if wanted not in sets:
                with self._lock:
                    self._sets[name] = {**self._sets[name], wanted: unknown}


def _info(
    config: RunConfig, runtime: str, reason: str, environments: tuple[EnvironmentInfo, ...]
) -> RunInfo:
    """Stands for ``run.json``: nothing is written."""
    now = datetime.now(UTC)
    return RunInfo(
        run_id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
        created_at=now,
        hpc_runner=__version__,
        schema_version=SCHEMA_VERSION,
        config=config,
        format="native",
        corpus_digest="",
        samples=0,
        candidates=0,
        duplicates=0,
        rejected=0,
        shards=0,
        runtime=runtime,
        runtime_reason=reason,
        environments=environments,
        host=platform.node(),
    )
