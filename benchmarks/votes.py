"""What a vote costs: result files of many shards → votes.parquet.

    python benchmarks/votes.py [--rows 1000000 10000000 50000000] [--rounds 5] [--files 200]

Results are made up: random candidates, of which 60 % are accepted, 38 % fail, with messages of
their own, and 2 % disagree with themselves.  Prints seconds (those of a CPU, too, for a machine
that has other things to do), rows per second and the peak memory of the process that votes, which
is another one than that which made the files, and compares the votes of a sample of the
candidates with a plain program that counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hpc_runner.model import Verdict
from hpc_runner.results.files import table_writer
from hpc_runner.results.schema import CANDIDATES, RESULTS, VOTES
from hpc_runner.results.vote import outcome, vote
from hpc_runner.rundir import RunDir

THRESHOLD = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--sample", type=int, default=2, help="files compared")
    parser.add_argument("--vote", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.vote:
        measure(options.vote)
        return
    print(
        "| result rows | files | candidates | s | CPU s | rows/s | peak memory | votes compared |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
            run = RunDir(Path(scratch))
            candidates = make(run, rows, options.rounds, options.files)
            words = [sys.executable, __file__, "--vote", scratch]
            found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
            same = compare(run, range(options.sample))
            wall_s, cpu_s, peak = found["wall_s"], found["cpu_s"], found["peak_bytes"] / 2**20
            print(
                f"| {rows:,} | {options.files} | {candidates:,} | {wall_s:.1f} | {cpu_s:.1f} | "
                f"{rows / wall_s:,.0f} | {peak:,.0f} MiB | {same:,} |",
                flush=True,
            )


def measure(root: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began = time.perf_counter()
    vote(RunDir(root), 0, THRESHOLD)
    wall_s = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak, cpu_s = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
    print(
        json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": peak, "before_bytes": before})
    )


CANDIDATES_MADE = """
SELECT b.* REPLACE (id AS candidate_id, number AS row, 'T/' || (number // 100) AS task_id)
FROM (SELECT unhex(sha256('a' || range)) AS id, range AS number FROM range($first, $end)),
     blank_candidates b
ORDER BY id
"""
RESULTS_MADE = """
WITH candidates AS (
    SELECT unhex(sha256('a' || range)) AS id, range AS number,
           hash(range, 1) % 100 AS drawn, (hash(range, 2) % 4)::INT AS kind FROM range($first, $end)
),
executions AS (
    SELECT *, CASE
        WHEN hash(number, round, 3) % 500 = 0 THEN 'internal_error'
        WHEN drawn < 60 OR (drawn >= 98 AND hash(number, round, 4) % 2 = 0) THEN 'accepted'
        ELSE ['wrong_answer', 'runtime_error', 'time_limit', 'compile_error'][kind + 1]
    END AS found
    FROM candidates, (SELECT range AS round FROM range($rounds)) rounds
)
SELECT b.* REPLACE (
    id AS candidate_id, 'T/' || (number // 100) AS task_id, $shard AS shard, e.round AS round,
    found AS verdict, 'split' AS judge, 'neutral' AS perturbation,
    CASE WHEN found NOT IN ('accepted', 'internal_error', 'time_limit')
        THEN ['AssertionError', 'ValueError', NULL, 'SyntaxError'][kind + 1] END AS error_type,
    CASE WHEN found NOT IN ('accepted', 'internal_error', 'time_limit')
        THEN 'expected ' || (hash(number, 5) % 1000) END AS error_message,
    hash(number, e.round, 6) % 1000000 / 1e6 AS wall_s,
    hash(number, e.round, 7) % 1000000 / 1e6 AS cpu_s,
    8000000 + hash(number, e.round, 8) % 50000000 AS peak_memory_bytes,
    CASE WHEN found = 'accepted' THEN 4 ELSE 1 END AS tests_passed, 4 AS tests_total)
FROM executions e, blank_results b
ORDER BY id, e.round
"""


def make(run: RunDir, rows: int, rounds: int, files: int) -> int:
    """How many candidates there are."""
    run.results(0).mkdir(parents=True)
    each = max(1, rows // files // rounds)
    with (
        duckdb.connect() as connection,
        table_writer(run.candidates(0), CANDIDATES, durable=False) as write,
    ):
        connection.register("blank_candidates", blank(CANDIDATES))
        connection.register("blank_results", blank(RESULTS))
        for shard in range(files):
            told = {"first": shard * each, "end": (shard + 1) * each}
            found = connection.sql(CANDIDATES_MADE, params=told).to_arrow_table()
            write(found.cast(CANDIDATES))
            more = told | {"shard": shard, "rounds": rounds}
            found = connection.sql(RESULTS_MADE, params=more).to_arrow_table()
            with table_writer(run.result(0, shard), RESULTS, durable=False) as write_results:
                write_results(found.cast(RESULTS))
    return each * files


def blank(schema: pa.Schema) -> pa.Table:
    """One row of what nobody looks at."""

    def value(field: pa.Field) -> object:
        type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_list(type_):
            return []
        if field.nullable:
            return None
        if pa.types.is_string(type_) or pa.types.is_large_string(type_):
            return "x"
        return bytes(32) if pa.types.is_fixed_size_binary(type_) else 1

    return pa.Table.from_pylist([{field.name: value(field) for field in schema}], schema=schema)


def compare(run: RunDir, shards: range) -> int:
    """How many votes were compared with a plain count.  Ends the program if one differs."""
    counts: dict[bytes, Counter[Verdict]] = defaultdict(Counter)
    for shard in shards:
        rows = pq.read_table(run.result(0, shard), columns=["candidate_id", "verdict"])
        for candidate, verdict in zip(*(c.to_pylist() for c in rows.columns), strict=True):
            counts[candidate][Verdict(verdict)] += 1
    with pq.ParquetFile(run.votes) as file:
        assert file.schema_arrow.equals(VOTES)
        found = {
            row["candidate_id"]: row
            for batch in file.iter_batches(columns=[*VOTES.names[:1], *VOTES.names[4:13]])
            for row in batch.filter(
                pc.is_in(batch["candidate_id"], pa.array(list(counts), pa.binary(32)))
            ).to_pylist()
        }
    for candidate, count in counts.items():
        expected = outcome(count, THRESHOLD)
        row = found[candidate]
        for name in ("verdict", "accepted", "consensus", "flaky", "judged", "unjudged"):
            if row[name] != getattr(expected, name):
                sys.exit(f"votes differ: {candidate.hex()} {name}: {row} {expected}")
    return len(counts)


if __name__ == "__main__":
    main()
