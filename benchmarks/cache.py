"""What a look into the result cache costs: a plan of a million candidates joined with a cache.

    python benchmarks/cache.py [--entries 5000000] [--candidates 1000000] [--share 0.5]

Entries are made up (random keys, a vote each) and written in segments of a million, as runs
would leave them; a look is one join.  Prints seconds, rows per second, and the peak memory of
the process that looks, which is another one than that which made the entries.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.results.cache import ENTRIES, Cache

SEGMENT = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=5_000_000)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=0.5, help="of the candidates are known")
    parser.add_argument("--look", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look:
        look(*options.look)
        return
    with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
        directory, wanted = Path(scratch) / "cache", Path(scratch) / "wanted.parquet"
        known = fill(Cache(directory), options.entries, wanted, options)
        began = time.perf_counter()
        pq.read_table(wanted)
        scan_s = time.perf_counter() - began
        for label in ("first look", "second look"):
            print(f"{label}: ", end="", flush=True)
            subprocess.run([sys.executable, __file__, "--look", directory, wanted], check=True)
        print(f"known: {known:,}; reading the wanted keys alone takes {scan_s:.2f} s")


def fill(cache: Cache, entries: int, wanted: Path, options: argparse.Namespace) -> int:
    """Write entries and the file of wanted keys; how many of these are known."""
    known = int(options.candidates * options.share)
    there, began = 0, time.perf_counter()
    some: list[pa.Array] = []
    for first in range(0, entries, SEGMENT):
        count = min(SEGMENT, entries - first)
        keys = random_keys(count)
        cache.add(votes(keys))
        some.append(keys.slice(0, known * count // entries))
        there += len(some[-1])
    some.append(random_keys(options.candidates - there))
    with duckdb.connect() as connection:
        connection.register("keys", pa.table({"key": pa.chunked_array(some)}))
        mixed = connection.sql("SELECT key FROM keys ORDER BY hash(key)").to_arrow_table()
    pq.write_table(mixed.cast(pa.schema([("key", pa.binary(32))])), wanted)
    stats = cache.stats()
    print(
        f"{stats.entries:,} entries in {stats.segments} segments, {stats.bytes / 2**20:,.0f} MiB, "
        f"written in {time.perf_counter() - began:.0f} s; {options.candidates:,} candidates"
    )
    return there


def random_keys(count: int) -> pa.Array:
    content = pa.py_buffer(os.urandom(32 * count))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), count, [None, content])


def votes(keys: pa.Array) -> pa.Table:
    """An entry for each key, as diverse as a corpus's."""
    count = len(keys)
    made = duckdb.sql(
        f"""
        SELECT now() AS created_at, '20260101-000000-aabbccdd' AS run_id, 'full' AS isolation,
               '/scratch/project/runs/corpus' AS source, 0 AS source_wave,
               CASE WHEN range % 5 < 2 THEN 'accepted' ELSE 'wrong_answer' END AS verdict,
               range % 5 < 2 AS accepted, true AS consensus, false AS flaky, 3 AS judged,
               0 AS unjudged, 1 AS environments, 'stable' AS reliability,
               NULL::BOOLEAN AS environments_agree, random() AS wall_s, random() AS cpu_s,
               (random() * 3e7)::BIGINT AS peak_memory_bytes
        FROM range({count})
        """
    ).to_arrow_table()
    columns = []
    for field in ENTRIES:
        if field.name in ("key", "source_candidate"):
            columns.append(pa.chunked_array([keys]))
        elif field.name in made.column_names:
            columns.append(made[field.name].cast(field.type))
        else:
            columns.append(pa.chunked_array([pa.nulls(count, field.type)]))
    return pa.table(columns, schema=ENTRIES)


def look(directory: Path, wanted: Path) -> None:
    began, hits = time.perf_counter(), 0
    for batch in Cache(directory, memory_limit="1GB").lookup(wanted, ["full"]):
        hits += batch.num_rows
    took_s = time.perf_counter() - began
    candidates = pq.read_metadata(wanted).num_rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{hits:,} hits in {took_s:.1f} s, {candidates / took_s:,.0f} candidates/s, "
        f"peak memory {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
