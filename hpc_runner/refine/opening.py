"""Writes the next wave: what became of each failure, then the new candidates.

``refined.parquet`` is in its place before ``candidates.parquet``, whose existence says that the
wave is open.  Where nothing new was made there is no candidates file, and the other one tells why.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pyarrow as pa

from hpc_runner.corpus.policy import given_environment
from hpc_runner.errors import StorageError
from hpc_runner.model import Candidate
from hpc_runner.pipeline.cached import key_maker
from hpc_runner.pipeline.precheck import Precheck
from hpc_runner.pipeline.sizing import shard_size
from hpc_runner.refine.asking import Settled
from hpc_runner.refine.failures import Failure, Failures
from hpc_runner.refine.taxonomy import classify, signature
from hpc_runner.results.cache_key import content
from hpc_runner.results.candidates import CandidateWriter, Row, wave_writer
from hpc_runner.results.files import table_writer
from hpc_runner.results.schema import REFINED
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import RunInfo

__all__ = ["Made", "Opening"]


@dataclass(frozen=True)
class Made:
    """What became of one failure."""

    failure: Failure
    settled: Settled
    repairs: tuple[str, ...] = ()
    """Local ones, by name: then no model was asked."""
    sharing: int = 1
    first: bool = True
    """Of those that share the answers: what they cost is counted here."""

    @property
    def child(self) -> Candidate | None:
        code = self.settled.code
        if code is None:
            return None
        candidate = self.failure.candidate
        made = {
            "code": code,
            "generation": candidate.generation + 1,
            "parent": self.failure.candidate_id,
        }
        return candidate.model_copy(update=made)

    @property
    def how(self) -> str:
        return "local" if self.repairs else "model" if self.settled.answers else "none"


class Opening:
    """A context manager: everything is in its place when the block ends well, nothing otherwise."""

    def __init__(self, run: RunDir, wave: int, info: RunInfo, found: Failures) -> None:
        config = info.config
        self._run, self._wave, self._found = run, wave, found
        self._precheck = Precheck(config)
        self._size = config.shard_size or shard_size(
            found.count, info.executions_per_candidate, config.workers
        )
        self._keys = None
        if config.cache.directory is not None:
            self._keys = key_maker(config, info.environments)
        self._policy = config.policy
        self._pending: list[Row] = []
        self._seen: set[bytes] = set()
        self._stack = ExitStack()
        self._writer: CandidateWriter | None = None
        self.candidates = 0

    def __enter__(self) -> Opening:
        try:
            self._run.wave(self._wave).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make {self._run.wave(self._wave)}: {error}") from error
        self._candidates = self._stack.enter_context(ExitStack())  # ends after the other file
        self._write = self._stack.enter_context(
            table_writer(self._run.refined(self._wave), REFINED)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._flush(0)
            except BaseException as failure:
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._stack.__exit__(kind, error, traceback)

    def add(self, batch: list[Made]) -> None:
        """Note what became of some failures, in order.  Raises ``StorageError``."""
        children = [made.child for made in batch]
        ids = [None if child is None else child.candidate_id for child in children]
        known = self._found.known([one for one in ids if one is not None])
        records = []
        for made, child, identity in zip(batch, children, ids, strict=True):
            there = identity in known
            if child is None or identity is None:
                there = False
            elif not there and identity not in self._seen:
                self._seen.add(identity)
                self._pending.append((identity, made.failure.row, child))
            records.append(self._record(made, identity, there))
        self._write(pa.Table.from_pylist(records, schema=REFINED))
        self._flush(self._size)

    def _record(self, made: Made, child: bytes | None, known: bool) -> dict[str, Any]:
        failure, settled = made.failure, made.settled
        kind, severity = classify(failure.verdict, failure.error_type)
        answers = settled.answers if made.first else []
        costs = [answer.usd for answer in answers]
        last = settled.answers[-1] if settled.answers else None
        return {
            "candidate_id": failure.candidate_id,
            "task_id": failure.candidate.task_id,
            "wave": self._wave,
            "generation": failure.candidate.generation,
            "child": child,
            "known": known,
            "how": made.how,
            "reason": None if settled.reason is None else settled.reason.value,
            "detail": _clean(settled.detail),
            "type": kind.value,
            "severity": severity.value,
            "signature": _clean(signature(failure)),
            "strategy": settled.strategy,
            "repairs": list(made.repairs),
            "question": None if last is None else last.key,
            "sharing": made.sharing,
            "answers": len(answers),
            "model": None if last is None else last.model,
            "prompt_tokens": sum(answer.prompt_tokens for answer in answers),
            "cached_tokens": sum(answer.cached_tokens for answer in answers),
            "completion_tokens": sum(answer.completion_tokens for answer in answers),
            "usd": None if None in costs else sum(filter(None, costs)),
        }

    def _flush(self, at_least: int) -> None:
        """Write full shards; with 0, all that is left."""
        while self._pending and len(self._pending) >= at_least:
            rows, self._pending = self._pending[: self._size], self._pending[self._size :]
            if self._writer is None:
                self._copy_dependencies()
                self._writer = self._candidates.enter_context(wave_writer(self._run, self._wave))
            checked = self._precheck.shard(rows)
            self._writer.write_shard(rows, checked, self._cache_keys(rows))
            self.candidates += len(rows)

    def _copy_dependencies(self) -> None:
        """What is made of a candidate has its dependencies."""
        before = self._run.dependencies(self._wave - 1)
        if not before.exists():
            return
        try:
            shutil.copyfile(before, self._run.dependencies(self._wave))
        except OSError as error:
            raise StorageError(f"can't copy {before}: {error}") from error

    def _cache_keys(self, rows: list[Row]) -> dict[bytes, bytes]:
        """Of those without dependencies; others are judged, and not kept from run to run."""
        if self._keys is None:
            return {}
        return {
            identity: self._keys.key(content(one, given_environment(one, self._policy)))
            for identity, _, one in rows
            if not one.dependencies
        }


def _clean(text: str | None) -> str | None:
    """Without half characters, which no file can hold."""
    return None if text is None else text.encode("utf-8", "replace").decode()
