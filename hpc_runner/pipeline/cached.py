"""The result cache in a run: what it answers to the plan, and what it learns from the votes."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hpc_runner.config import ISOLATION_LEVELS, RunConfig
from hpc_runner.model import Candidate
from hpc_runner.pipeline.precheck import Precheck
from hpc_runner.pipeline.spool import gather, rows_writer
from hpc_runner.results.cache import ENTRIES, OF_THE_CANDIDATE, Cache, Keep
from hpc_runner.results.cache_key import KeyMaker, dependencies
from hpc_runner.results.candidates import CandidateWriter, pieces
from hpc_runner.results.files import table_writer
from hpc_runner.results.query import connect, result_files, table_view
from hpc_runner.results.schema import CANDIDATES, VOTES
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo, RunInfo
from hpc_runner.sandbox.dependencies import Sets
from hpc_runner.sandbox.local import fingerprint

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["answer", "keep_votes", "key_maker", "open_cache", "without_cache"]

_ROWS = 2000
_COLUMNS = "f.candidate_id, f.row, f.parent, f.offset, f.stored_bytes, f.bytes, f.key"


def _full(held: int, _candidate: Candidate) -> bool:
    return held >= _ROWS


def open_cache(config: RunConfig, say: Callable[[str], None] = print) -> Cache | None:
    """The cache that a run uses, if it uses one; ``say`` is told what is damaged."""
    asked = config.cache
    if asked.directory is None:
        return None
    keep = Keep(seconds=asked.max_age_s, bytes=asked.max_bytes)
    return Cache(Path(asked.directory), keep=keep, readonly=asked.readonly, say=say)


def key_maker(config: RunConfig, environments: Sequence[EnvironmentInfo]) -> KeyMaker:
    """``environments`` as they are when their images are there."""
    return KeyMaker.of(config, [_identity(environment) for environment in environments])


def without_cache(database: DuckDBPyConnection) -> str:
    """A query for ``spool.gather`` of all of ``firsts``, none of them with a key."""
    database.execute("ALTER TABLE firsts ADD COLUMN key BLOB")
    return f"SELECT {_COLUMNS} FROM firsts f ORDER BY place"


def answer(
    run: RunDir,
    database: DuckDBPyConnection,
    spool: Path,
    cache: Cache,
    maker: KeyMaker,
    sets: Mapping[str, Sets],
    precheck: Precheck,
    required: str,
) -> tuple[int, str]:
    """Write the candidates that the cache knows, and their votes.

    Candidates that this run's policy refuses are not among them.  Returns how many there
    are, and a query for ``spool.gather`` of all others.
    """
    _add_keys(database, maker, sets)
    wanted = run.planning / "wanted.parquet"
    candidates = database.sql(
        "SELECT key, candidate_id, task_id FROM firsts WHERE key IS NOT NULL ORDER BY place"
    )
    with table_writer(wanted, _WANTED, durable=False) as write:
        for batch in candidates.to_arrow_reader(65_536):
            write(pa.Table.from_batches([batch]))
    levels = ISOLATION_LEVELS[ISOLATION_LEVELS.index(required) :]
    known = run.planning / "known.parquet"
    found = 0
    with table_writer(known, _KNOWN, durable=False) as write:
        for batch in cache.lookup(wanted, levels):
            found += batch.num_rows
            write(pa.Table.from_batches([batch]).select(_KNOWN.names))
    (looked_up,) = database.execute("SELECT count(key) FROM firsts").fetchall()[0]
    table_view(database, "known", [known], _KNOWN)
    cache.used(database.sql("SELECT key FROM known").to_arrow_table(), looked_up - found)
    if found:
        _write_known(run, database, spool, precheck)
    query = f"""
        SELECT {_COLUMNS} FROM firsts f
        WHERE f.candidate_id NOT IN (SELECT candidate_id FROM answered) ORDER BY place
    """
    if not found:
        return 0, f"SELECT {_COLUMNS} FROM firsts f ORDER BY place"
    (answered,) = database.execute("SELECT count(*) FROM answered").fetchall()[0]
    return int(answered), query


def keep_votes(run: RunDir, info: RunInfo, wave: int) -> None:
    """Add the votes of a wave to the cache: those of candidates that have a key and were
    judged with consensus, without a disagreement or an execution that failed on us.

    Adding them again does no harm.
    """
    cache = open_cache(info.config)
    if cache is None or cache.readonly:
        return
    names = [name for name in ENTRIES.names if name in VOTES.names]
    weakest = " ".join(
        f"WHEN bool_or(isolation = '{level}') THEN '{level}'" for level in ISOLATION_LEVELS
    )
    with connect(run) as database:
        table_view(database, "votes", [run.votes], VOTES)
        table_view(database, "candidates", pieces(run.candidates(wave)), CANDIDATES)
        table_view(database, "results", result_files(run, [wave]))
        entries = database.sql(
            f"""
            SELECT c.cache_key AS key, now() AS created_at, $run_id AS run_id, r.isolation,
                   $source AS source, $wave::SMALLINT AS source_wave,
                   v.candidate_id AS source_candidate, {", ".join(f"v.{name}" for name in names)}
            FROM votes v JOIN candidates c USING (candidate_id)
            JOIN (SELECT candidate_id, CASE {weakest} END AS isolation
                  FROM results GROUP BY candidate_id) r USING (candidate_id)
            WHERE v.wave = $wave AND c.cache_key IS NOT NULL AND v.verdict IS NOT NULL
                  AND v.consensus AND NOT v.flaky AND v.unjudged = 0 AND r.isolation IS NOT NULL
                  AND v.judge NOT IN ('policy', 'dependencies')
            """,
            params={"run_id": info.run_id, "source": str(run.root), "wave": wave},
        ).to_arrow_table()
    cache.add(entries.select(ENTRIES.names).cast(ENTRIES))


_WANTED_FIELDS: list[pa.Field[Any]] = [
    pa.field("key", pa.binary(32), False),
    pa.field("candidate_id", pa.binary(32), False),
    pa.field("task_id", pa.string(), False),
]
_WANTED = pa.schema(_WANTED_FIELDS)
_KNOWN = pa.schema([*_WANTED, *(field for field in ENTRIES if field.name in VOTES.names)])
_ANSWERED = pa.schema([_WANTED.field("candidate_id")])
_RESOLVED_FIELDS: list[pa.Field[Any]] = [
    pa.field("requirements", pa.string()),
    pa.field("dependencies", pa.binary()),
]


def _add_keys(database: DuckDBPyConnection, maker: KeyMaker, sets: Mapping[str, Sets]) -> None:
    """The column ``key`` of ``firsts``; null where dependencies can't be had."""
    schema = pa.schema(_RESOLVED_FIELDS)
    columns = [list(column) for column in zip(*_resolved(sets), strict=True)] or [[], []]
    database.register("resolved", pa.table(columns, schema=schema))
    key = maker.sql("f.content", "coalesce(r.dependencies, ''::BLOB)")
    database.execute(
        f"""
        CREATE TABLE keyed AS
        SELECT f.*, CASE WHEN f.content IS NOT NULL AND (
                   f.requirements IS NULL OR r.dependencies IS NOT NULL
               ) THEN {key} END AS key
        FROM firsts f LEFT JOIN resolved r USING (requirements)
        """
    )
    database.execute("DROP TABLE firsts")
    database.execute("ALTER TABLE keyed RENAME TO firsts")


def _resolved(sets: Mapping[str, Sets]) -> Iterator[tuple[str, bytes]]:
    """What each set of dependencies came to, where all environments have it."""
    known = list(sets.values())
    for requirements in known[0] if known else ():
        found = [environment[requirements].directory for environment in known]
        if all(found):
            digests = [Path(str(directory)).name for directory in found]
            yield json.dumps(requirements), dependencies(digests)


def _write_known(
    run: RunDir, database: DuckDBPyConnection, spool: Path, precheck: Precheck
) -> None:
    """Candidates and votes of what is known, but for the refused; ``answered`` has their ids."""
    answered = run.planning / "answered.parquet"
    query = f"SELECT {_COLUMNS} FROM firsts f SEMI JOIN known USING (candidate_id) ORDER BY place"
    with (
        database.cursor() as cursor,
        spool.open("rb") as records,
        CandidateWriter(run.cached_candidates) as writer,
        rows_writer(answered, _ANSWERED) as add,
    ):
        for rows, keys in gather(cursor, query, records, _full):
            seen = precheck.look(rows)
            kept = [row for row in rows if row[0] not in seen or seen[row[0]].refused is None]
            precheck.count(kept, seen)
            if kept:
                writer.write_shard(kept, seen, keys)
            for row in kept:
                add((row[0],))
    table_view(database, "answered", [answered])
    own = [name for name in VOTES.names if name not in OF_THE_CANDIDATE]
    votes = database.sql(
        f"""
        SELECT k.candidate_id, k.task_id, 0::SMALLINT AS wave, 0::SMALLINT AS generation,
               {", ".join(own)}
        FROM known k SEMI JOIN answered USING (candidate_id) ORDER BY k.file_row_number
        """
    )
    with table_writer(run.cached_votes, VOTES) as write:
        for batch in votes.to_arrow_reader(65_536):
            write(pa.Table.from_batches([batch]).select(VOTES.names))


def _identity(environment: EnvironmentInfo) -> dict[str, Any]:
    if environment.image is not None:
        return {"image": environment.image.digest}
    interpreter = environment.interpreter
    return {
        "python": fingerprint(interpreter) if interpreter else environment.python,
        "machine": platform.machine(),
    }
