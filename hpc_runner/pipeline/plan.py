"""From a corpus to shards: what is executed, once each, in which order.

Memory doesn't grow with the programs, but for 24 bytes each that the database gets.  They are
spooled to the run's scratch space as they are read; DuckDB, which spills, removes duplicates
and sorts only what is small (identifiers and positions); then each shard is gathered from the
spool and written as a row group.
"""

from __future__ import annotations

import platform
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hpc_runner import __version__
from hpc_runner.config import RunConfig
from hpc_runner.corpus.readers import Corpus, Sample, open_corpus
from hpc_runner.errors import CorpusError, RowError, RunError, StorageError
from hpc_runner.model import Candidate
from hpc_runner.pipeline.cached import answer, key_maker, open_cache, without_cache
from hpc_runner.pipeline.lock import CoordinatorLock
from hpc_runner.pipeline.precheck import Precheck
from hpc_runner.pipeline.profile_files import write_profile
from hpc_runner.pipeline.sizing import (
    ByTime,
    execution_s,
    shard_s,
    shard_size,
)
from hpc_runner.pipeline.spool import Read, Spool, database_memory, gather
from hpc_runner.results.candidates import wave_writer
from hpc_runner.results.query import connect
from hpc_runner.results.schema import SCHEMA_VERSION
from hpc_runner.results.vote import certain_executions
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, RunInfo, temporary_info, write_info
from hpc_runner.sandbox.dependencies import read_sets
from hpc_runner.sandbox.environments import named
from hpc_runner.sandbox.readiness import chosen_runtime, for_languages, made_ready

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from hpc_runner.pipeline.profiles import Profile

__all__ = [
    "Counts", "Programs", "corpus_digest", "lay_out", "plan", "refuse_foreign",
]  # fmt: skip


class Programs(Protocol):
    """What a run can be planned of; files are read as a ``Corpus``."""

    @property
    def format(self) -> str: ...

    def __iter__(self) -> Iterator[Sample | RowError]: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True)
class Counts:
    """What a corpus came to; see ``RunInfo`` for the words."""

    samples: int
    candidates: int
    cached: int
    rejected: int
    shards: int

    @property
    def duplicates(self) -> int:
        return self.samples - self.candidates


def plan(
    run: RunDir,
    config: RunConfig,
    *,
    progress: Callable[[str], None],
    make_image: bool = True,
    corpus: Programs | None = None,
    profile: Profile | None = None,
) -> RunInfo:
    """Write everything that a run needs to start, ``run.json`` last, and its ``profile`` if it
    is on a cluster.

    ``corpus``: what is read instead of the files that ``config`` names.  What a killed
    plan left is replaced.  With ``make_image=False`` images that are missing aren't built,
    no dependencies are resolved, no cache is looked at, and the run can't be started.

    Raises ``CorpusError`` for an unreadable or empty corpus (with
    ``config.strict``, for the first bad row), ``RunError`` when the directory
    holds something else, ``ConfigError`` when the runtime or an environment
    doesn't work here or reaches less isolation than is required, ``ImageError``
    also for an image in which no agent starts, and ``StorageError``.
    """
    runtime, reason = chosen_runtime(config)
    environments = named(config, runtime)
    precheck = Precheck(config)
    with _room(run):
        corpus = corpus or _open(config)

        def ready() -> tuple[EnvironmentInfo, ...]:
            nonlocal environments
            environments, told = for_languages(
                config, runtime, environments, precheck.languages, progress
            )
            for line in told:
                precheck.warn(line)
            environments = tuple(
                made_ready(config, runtime, item, progress) for item in environments
            )
            precheck.resolve(run, environments, progress)
            return environments

        on_cluster = profile is not None
        ready_ = ready if make_image else None
        counts = lay_out(run, corpus, config, precheck, ready_, by_time=on_cluster)
        now = datetime.now(UTC)
        info = RunInfo(
            run_id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
            created_at=now,
            hpc_runner=__version__,
            schema_version=SCHEMA_VERSION,
            config=config,
            format=corpus.format,
            corpus_digest=corpus.digest().hex(),
            samples=counts.samples,
            candidates=counts.candidates,
            duplicates=counts.duplicates,
            cached=counts.cached,
            rejected=counts.rejected,
            shards=counts.shards,
            runtime=runtime.name,
            runtime_reason=reason,
            environments=environments,
            host=platform.node(),
            warnings=tuple(precheck.warnings),
        )
        if profile is not None:
            write_profile(run, profile)
        shutil.rmtree(run.planning)
        write_info(run, info)
    return info


def corpus_digest(config: RunConfig) -> str:
    """Hex digest of the corpus as it is now.  Raises ``CorpusError``."""
    return _open(config).digest().hex()


def _open(config: RunConfig) -> Corpus:
    return open_corpus(
        [Path(path) for path in config.corpus],
        format=config.format,
        code_field=config.code_field,
        limits=config.limits,
    )


def lay_out(
    run: RunDir,
    corpus: Iterable[Sample | RowError],
    config: RunConfig,
    precheck: Precheck | None = None,
    ready: Callable[[], tuple[EnvironmentInfo, ...]] | None = None,
    *,
    by_time: bool = False,
) -> Counts:
    """Write ``samples.parquet``, ``rejected.parquet`` and the candidates of wave 0.

    Every sample is in ``samples.parquet`` once; every candidate is in one
    shard, unless the cache knows it.  The order depends on the corpus alone: first the
    first candidate of each task, then the second of each, so that the candidates of a
    task, which tend to be slow together, are spread over the shards.

    ``ready`` is called when the corpus was read: it makes the environments, and their
    dependencies, ready, and without it no cache is looked at.

    ``by_time``: shards are as large as the time that they take allows, the slowest first.
    """
    precheck = precheck or Precheck(config)
    by_time = by_time and config.shard_size is None
    spool = Spool(run, config, precheck.see)
    try:
        read = spool.read(corpus)
        if not read.samples:
            raise CorpusError(_nothing(config, read))
        environments = () if ready is None else ready()
        with (
            connect(run, memory_limit=database_memory(read.samples)) as database,
            spool.records.open("rb") as records,
        ):
            candidates, seconds = spool.order(database, slow_first=by_time)
            cached, query = _look_up(run, config, database, spool, environments, precheck)
            seconds *= (candidates - cached) / candidates
            full = _shard_end(config, candidates - cached, seconds if by_time else None)
            with wave_writer(run, 0) as writer:
                for rows, keys in gather(database, query, records, full):
                    writer.write_shard(rows, precheck.shard(rows), keys)
            spool.number_samples(database)
    except OSError as error:
        raise StorageError(f"can't write the plan in {run.root}: {error}") from error
    return Counts(read.samples, candidates, cached, read.rejected, writer.shards)


def _shard_end(
    config: RunConfig, candidates: int, seconds: float | None
) -> Callable[[int, Candidate], bool]:
    """What ends a shard: its size, or its time where all candidates take ``seconds`` once."""
    environments = max(1, len(config.environments))
    if seconds is None:
        at_most = config.rounds * environments
        size = config.shard_size or shard_size(candidates, at_most, config.workers)
        return lambda held, _: held >= size
    executions = config.rounds * environments
    if config.early_stop:
        threshold = config.consensus_threshold
        executions = certain_executions(config.rounds, environments, threshold)
    wanted_s = shard_s(seconds * executions, config.workers * config.slots)
    return ByTime(wanted_s * config.slots, lambda candidate: executions * execution_s(candidate))


def _look_up(
    run: RunDir,
    config: RunConfig,
    database: DuckDBPyConnection,
    spool: Spool,
    environments: Sequence[EnvironmentInfo],
    precheck: Precheck,
) -> tuple[int, str]:
    """How many candidates the cache knows, and a query for all others."""
    cache = open_cache(config, precheck.warn)
    if cache is None or not environments:
        return 0, without_cache(database)
    maker, sets = key_maker(config, environments), read_sets(run.dependencies(0))
    return answer(
        run, database, spool.records, cache, maker, sets, precheck, config.require_isolation
    )


@contextmanager
def _room(run: RunDir) -> Iterator[None]:
    """The directory, ours alone and empty, for the length of a plan; as it was when that fails."""
    new = not run.root.exists()
    if not new:
        refuse_foreign(run)
    try:
        run.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make {run.root}: {error.strerror}") from error
    with CoordinatorLock(run):
        if run.info.exists():
            raise RunError(f"{run.root} was planned meanwhile by another command; resume it")
        _clear(run)
        try:
            yield
        except BaseException:
            _clear(run)
            if new:
                shutil.rmtree(run.root, ignore_errors=True)
            raise


def refuse_foreign(run: RunDir) -> None:
    """Raises ``RunError`` for a directory that holds what no plan and no submission leaves."""
    if not run.root.is_dir():
        raise RunError(f"{run.root} is a file; --out takes a directory")
    submitted = (run.profile, run.chain, run.coordinator_script, run.coordinator_log)
    ours = {run.lock, run.cancelled, *submitted, *_leftovers(run)}
    halves = tuple(f".{path.name}." for path in submitted)  # of whoever died writing them
    names = {path.name for path in run.root.iterdir() if path not in ours}
    foreign = sorted(name for name in names if not name.startswith(halves))
    if foreign:
        raise RunError(
            f"{run.root} is not empty and not a run: it has no run.json"
            f" (found {', '.join(foreign[:5])}). Give --out a new directory"
        )


def _leftovers(run: RunDir) -> Iterator[Path]:
    """What a killed plan has left."""
    files = (run.samples, run.rejected, run.cached_candidates, run.cached_votes)
    whole = (*files, run.planning, run.wave(0).parent)
    halves = tuple(f".{path.name}." for path in files)
    later = f"{run.cached_candidates.stem}-"  # its further pieces
    for path in run.root.iterdir():
        if (
            path in whole
            or path == temporary_info(run)
            or path.name.startswith((run.scratch("").name, *halves, later, f".{later}"))
        ):
            yield path


def _clear(run: RunDir) -> None:
    for path in list(_leftovers(run)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _nothing(config: RunConfig, read: Read) -> str:
    corpus = " with ".join(config.corpus)
    if read.first is None:
        return f"{corpus} holds no programs: it was read to its end without finding a row"
    return (
        f"{corpus} holds no program that can be used: all {read.rejected} rows were rejected. "
        f"The first: {read.first}"
    )
