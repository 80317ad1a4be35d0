"""From a corpus to shards: what is executed, once each, in which order.

Memory doesn't grow with the programs.  They are spooled to the run's scratch
space as they are read; DuckDB, which spills, removes duplicates and sorts
only what is small (identifiers and positions); then each shard is gathered
from the spool and written as a row group.
"""

from __future__ import annotations

import json
import math
import platform
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from hpc_runner import __version__
from hpc_runner.config import RunConfig
from hpc_runner.corpus.readers import Corpus, Sample, open_corpus
from hpc_runner.errors import ConfigError, CorpusError, RowError, RunError, StorageError
from hpc_runner.model import Candidate
from hpc_runner.pipeline.lock import CoordinatorLock
from hpc_runner.pipeline.precheck import Precheck
from hpc_runner.results.candidates import CandidateWriter
from hpc_runner.results.files import table_writer
from hpc_runner.results.query import connect
from hpc_runner.results.schema import REJECTED, SAMPLES, SCHEMA_VERSION
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, ImageInfo, RunInfo, temporary_info, write_info
from hpc_runner.sandbox.environments import has_interpreter, named
from hpc_runner.sandbox.runtimes import Runtime, choose
from hpc_runner.sandbox.selfcheck import check_agent

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Counts", "corpus_digest", "lay_out", "plan", "shard_size"]

MOST_PER_SHARD = 2000
"""Candidates: what a worker may have to repeat or hold stays small."""
LEAST_EXECUTIONS = 1000
"""Per shard, as long as every worker has one: starting a worker has to pay."""
SHARD_BYTES = 32 << 20
"""A shard ends early when its programs and tests reach this size; a worker holds one shard."""

_BATCH = 4096
_CODEC = pa.Codec("zstd", 1)
_SPOOLED_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("row", pa.int64()),
    ("file", pa.string()),
    ("file_row", pa.int64()),
    ("task_id", pa.string()),
    ("candidate_id", pa.binary(32)),
    ("parent", pa.binary(32)),
    ("offset", pa.int64()),  # of its compressed record in the spool
    ("stored_bytes", pa.int64()),
    ("bytes", pa.int64()),
]
_SPOOLED = pa.schema(_SPOOLED_COLUMNS)


@dataclass(frozen=True)
class Counts:
    """What a corpus came to; see ``RunInfo`` for the words."""

    samples: int
    candidates: int
    rejected: int
    shards: int

    @property
    def duplicates(self) -> int:
        return self.samples - self.candidates


def shard_size(candidates: int, executions: int, workers: int) -> int:
    """Candidates per shard: four shards for each worker, so that none waits long for the
    last one; fewer when that would leave less than ``LEAST_EXECUTIONS`` in each, but never
    fewer than workers.  ``executions``: of each candidate, at most."""
    worth = candidates * executions // LEAST_EXECUTIONS
    shards = min(max(worth, workers), workers * 4)
    return max(1, min(math.ceil(candidates / shards), MOST_PER_SHARD))


def plan(
    run: RunDir,
    config: RunConfig,
    *,
    progress: Callable[[str], None],
    make_image: bool = True,
) -> RunInfo:
    """Write everything that a run needs to start, ``run.json`` last.

    What a killed plan left is replaced.  With ``make_image=False`` images
    that are missing aren't built, no dependencies are resolved, and the run
    can't be started.

    Raises ``CorpusError`` for an unreadable or empty corpus (with
    ``config.strict``, for the first bad row), ``RunError`` when the directory
    holds something else, ``ConfigError`` when the runtime or an environment
    doesn't work here or reaches less isolation than is required, ``ImageError``
    also for an image in which no agent starts, and ``StorageError``.
    """
    runtime, reason = _runtime(config)
    environments = named(config, runtime)
    precheck = Precheck(config)
    with _room(run):
        corpus = _open(config)
        counts = lay_out(run, corpus, config, precheck)
        if make_image:
            environments = tuple(_ready(config, runtime, item, progress) for item in environments)
            precheck.resolve(run, environments, progress)
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
            rejected=counts.rejected,
            shards=counts.shards,
            runtime=runtime.name,
            runtime_reason=reason,
            environments=environments,
            host=platform.node(),
            warnings=tuple(precheck.warnings),
        )
        shutil.rmtree(run.planning)
        write_info(run, info)
    return info


def _runtime(config: RunConfig) -> tuple[Runtime, str]:
    """Raises ``ConfigError`` for a runtime that can't do what else is asked for."""
    if config.runtime == "auto" and has_interpreter(config):
        runtime, reason = choose("local")
        return runtime, f"an interpreter of this machine was asked for; {reason}"
    runtime, reason = choose(config.runtime, config.environments)
    if config.isolation == "container" and not runtime.needs_image:
        raise ConfigError(
            f"--isolation container needs a runtime with containers, and {runtime.name} has none; "
            "give --runtime docker as well"
        )
    return runtime, reason


def _ready(
    config: RunConfig,
    runtime: Runtime,
    environment: EnvironmentInfo,
    progress: Callable[[str], None],
) -> EnvironmentInfo:
    """With its image, if it has one, after an agent has been started in it."""
    image = runtime.ensure_image(environment.name, progress)
    interpreter = environment.interpreter
    hello = check_agent(runtime, image, python=interpreter, require=config.require_isolation)
    if image is None:
        return environment
    pinned = ImageInfo(name=image.name, reference=image.reference, digest=image.digest.hex())
    return environment.model_copy(update={"image": pinned, "python": hello.python})


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
) -> Counts:
    """Write ``samples.parquet``, ``rejected.parquet`` and the candidates of wave 0.

    Every sample is in ``samples.parquet`` once; every candidate is in one
    shard.  The order depends on the corpus alone: first the first candidate of
    each task, then the second of each, so that the candidates of a task, which
    tend to be slow together, are spread over the shards.
    """
    precheck = precheck or Precheck(config)
    scratch = run.planning
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with (scratch / "spool").open("wb") as spool:
            read = _read(corpus, spool, scratch / "spooled.parquet", run.rejected, config)
        if not read.samples:
            raise CorpusError(_nothing(config, read))
        with connect(run) as database, (scratch / "spool").open("rb") as spool:
            candidates, places = _order(database, scratch / "spooled.parquet")
            executions = config.rounds * max(1, len(config.environments))
            size = config.shard_size or shard_size(candidates, executions, config.workers)
            with CandidateWriter(run.candidates(0)) as writer:
                for shard in _gather(places, spool, size):
                    writer.write_shard(shard, precheck.shard(shard))
            _number_samples(database, scratch / "spooled.parquet", run.samples)
    except OSError as error:
        raise StorageError(f"can't write the plan in {run.root}: {error}") from error
    return Counts(read.samples, candidates, read.rejected, writer.shards)


@dataclass
class _Read:
    samples: int = 0
    rejected: int = 0
    first: RowError | None = None


def _read(
    corpus: Iterable[Sample | RowError],
    spool: IO[bytes],
    spooled: Path,
    rejected: Path,
    config: RunConfig,
) -> _Read:
    read = _Read()
    offset = 0
    with _rows(spooled, _SPOOLED) as add, _rows(rejected, REJECTED) as reject:
        for item in corpus:
            kept = item if isinstance(item, RowError) else _recorded(item)
            if isinstance(kept, RowError):
                if config.strict:
                    raise kept
                read.rejected += 1
                read.first = read.first or kept
                reject((kept.file, kept.row, kept.key, kept.reason))
                continue
            sample, record = kept
            stored = _CODEC.compress(record, asbytes=True)
            spool.write(stored)
            candidate = sample.candidate
            who = (sample.file, sample.file_row, candidate.task_id, candidate.candidate_id)
            add((read.samples, *who, candidate.parent, offset, len(stored), len(record)))
            offset += len(stored)
            read.samples += 1
            if read.samples == config.limit:
                break
    return read


def _recorded(sample: Sample) -> tuple[Sample, bytes] | RowError:
    content = sample.candidate.model_dump(mode="json", exclude={"parent"})
    try:
        return sample, json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        found = f"{error.object[error.start]!a} is half a character (a lone surrogate)"
        return RowError(sample.file, sample.file_row, "code", f"{found}, which can't be stored")


def _order(database: DuckDBPyConnection, spooled: Path) -> tuple[int, Iterator[tuple[Any, ...]]]:
    """How many candidates there are, and where their records lie, in the order of the plan."""
    database.execute(
        """
        CREATE TABLE firsts AS
        SELECT s.* FROM read_parquet($1) s
        JOIN (SELECT min(row) AS row FROM read_parquet($1) GROUP BY candidate_id) USING (row)
        """,
        [str(spooled)],
    )
    (candidates,) = database.execute("SELECT count(*) FROM firsts").fetchall()[0]
    database.execute(
        """
        SELECT candidate_id, row, parent, "offset", stored_bytes, bytes FROM firsts
        ORDER BY row_number() OVER (PARTITION BY task_id ORDER BY row), row
        """
    )
    return candidates, _fetched(database)


def _number_samples(database: DuckDBPyConnection, spooled: Path, path: Path) -> None:
    database.execute(
        """
        SELECT row, file, file_row, task_id,
               row_number() OVER (PARTITION BY task_id ORDER BY row) - 1 AS sample, candidate_id
        FROM read_parquet($1) ORDER BY row
        """,
        [str(spooled)],
    )
    with _rows(path, SAMPLES) as add:
        for row in _fetched(database):
            add(row)


def _fetched(database: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := database.fetchmany(_BATCH):
        yield from rows


def _gather(
    places: Iterable[tuple[Any, ...]], spool: IO[bytes], size: int
) -> Iterator[list[tuple[bytes, int, Candidate]]]:
    """The rows of each shard."""
    rows: list[tuple[bytes, int, Candidate]] = []
    held = 0
    for candidate_id, row, parent, offset, stored_bytes, record_bytes in places:
        spool.seek(offset)
        stored = spool.read(stored_bytes)
        content = json.loads(_CODEC.decompress(stored, record_bytes, asbytes=True))
        rows.append((candidate_id, row, Candidate(**content, parent=parent)))
        held += record_bytes
        if len(rows) == size or held >= SHARD_BYTES:
            yield rows
            rows, held = [], 0
    if rows:
        yield rows


@contextmanager
def _rows(path: Path, schema: pa.Schema) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """Write rows as they come, a batch at a time."""
    rows: list[tuple[Any, ...]] = []
    with table_writer(path, schema) as write:

        def flush() -> None:
            if rows:
                columns = [list(column) for column in zip(*rows, strict=True)]
                write(pa.table(columns, schema=schema))
                rows.clear()

        def add(row: tuple[Any, ...]) -> None:
            rows.append(row)
            if len(rows) == _BATCH:
                flush()

        yield add
        flush()


@contextmanager
def _room(run: RunDir) -> Iterator[None]:
    """The directory, ours alone and empty, for the length of a plan; as it was when that fails."""
    new = not run.root.exists()
    if not new:
        _refuse_foreign(run)
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


def _refuse_foreign(run: RunDir) -> None:
    if not run.root.is_dir():
        raise RunError(f"{run.root} is a file; --out takes a directory")
    ours = {run.coordinator_lock, *_leftovers(run)}
    foreign = sorted(path.name for path in run.root.iterdir() if path not in ours)
    if foreign:
        raise RunError(
            f"{run.root} is not empty and not a run: it has no run.json"
            f" (found {', '.join(foreign[:5])}). Give --out a new directory"
        )


def _leftovers(run: RunDir) -> Iterator[Path]:
    """What a killed plan has left."""
    whole = (run.samples, run.rejected, run.planning, run.wave(0).parent)
    halves = tuple(f".{path.name}." for path in (run.samples, run.rejected))
    for path in run.root.iterdir():
        if (
            path in whole
            or path == temporary_info(run)
            or path.name.startswith((run.scratch("").name, *halves))
        ):
            yield path


def _clear(run: RunDir) -> None:
    for path in list(_leftovers(run)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _nothing(config: RunConfig, read: _Read) -> str:
    corpus = " with ".join(config.corpus)
    if read.first is None:
        return f"{corpus} holds no programs: it was read to its end without finding a row"
    return (
        f"{corpus} holds no program that can be used: all {read.rejected} rows were rejected. "
        f"The first: {read.first}"
    )
