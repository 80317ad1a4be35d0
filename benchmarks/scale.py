"""What planner, coordinator and watcher cost on large runs, up to 10^8 candidates in 20,000 shards.

    python benchmarks/scale.py [--most 8] [--plan-most 6] [--order-most 7]

Nothing is executed.  The run directories are synthesised, and so said beside each table:
candidates are one program over and over, each finished shard's result is a link to one file,
squeue's answer is a text made here.  Real are the code under test, the number of files, rows,
array tasks and lines, and every byte that is read of them.

Each row of figures is taken in a process of its own: seconds of CPU, which other work on the
machine disturbs least, and by how much its memory grew over what the modules take.  "growth" is
the factor for ten times as much; the exit code is 1 where it is more than ``WORSE`` on the last
two sizes, or memory grew by more than ``MEMORY_MB``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.config import RunConfig
from hpc_runner.model import Assertions, Candidate
from hpc_runner.pipeline.arrays import Array, job_prefix, new_array, write_array
from hpc_runner.pipeline.coordinator import step
from hpc_runner.pipeline.plan import plan
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.slurm import Slurm
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.pipeline.spool import Spool, database_memory
from hpc_runner.pipeline.status import Watch
from hpc_runner.pipeline.waves import Memory
from hpc_runner.results.candidates import (
    SHARDS_PER_FILE,
    CandidateWriter,
    read_shard,
)
from hpc_runner.results.files import table_writer, write_json
from hpc_runner.results.heartbeat import write_heartbeat
from hpc_runner.results.ledger import Failure, Ledger, ShardRecord, write_ledger
from hpc_runner.results.query import connect
from hpc_runner.results.schema import CANDIDATES, RESULTS, SCHEMA_VERSION
from hpc_runner.results.store import ShardStore
from hpc_runner.rundir import RunDir, piece
from hpc_runner.runinfo import EnvironmentInfo, RunInfo, read_info, write_info

PER_SHARD = 5000
WORSE = 15.0
"""Growth of time for ten times as much that is still linear, on a noisy machine."""
MEMORY_MB = 400
DATABASE_MB = 512
"""More than that, where the planner's database may use so much before it spills."""
RUNNING = 0.05
"""Share of the array tasks that run; half have finished, one in a hundred has failed once."""


# -- run directories


def synthesise(root: Path, exponent: int) -> RunDir:
    """A run of 10^exponent candidates under way: half of the shards are finished."""
    run, candidates = RunDir(root), 10**exponent
    if run.info.exists():
        return run
    shards = candidates // PER_SHARD
    _candidates(run, shards)
    _results(run, shards // 2)
    for shard in range(shards // 2, shards // 2 + int(shards * RUNNING)):
        beat = {"wave": 0, "shard": shard, "writer": "w", "pid": 1, "host": "n1", "done": 700}
        beat |= {"planned": 15000, "verdicts": {"accepted": 700}, "in_flight": 8}
        write_heartbeat(run.heartbeat(0, shard), beat)
    ledger = Ledger(finished=shards // 2)
    for shard in range(shards - shards // 100, shards):
        failure = Failure(attempt=f"9_{shard}", detail="died", node="n1", at=datetime.now(UTC))
        ledger.shards[shard] = ShardRecord(counted=[failure.attempt], failures=[failure])
    write_ledger(run, 0, ledger)
    _arrays(run, shards)
    write_info(run, _info(candidates, shards))
    return run


def _arrays(run: RunDir, shards: int) -> None:
    """As an earlier coordinator has submitted them."""
    for number in range(-(-shards // SHARDS_PER_FILE)):
        some = range(number * SHARDS_PER_FILE, min(shards, (number + 1) * SHARDS_PER_FILE))
        array = new_array(run, "scale", 0, number, some, Profile())
        write_array(run, replace(array, job_id=1000 + number))


def _candidates(run: RunDir, shards: int) -> None:
    candidate = Candidate(
        task_id="T/0",
        code="def f(x):\n    return x + 1\n",
        tests=Assertions(code="", cases=("assert f(1) == 2",)),
    )
    with CandidateWriter(run.planning / "one.parquet") as writer:
        writer.write_shard([(candidate.candidate_id, 0, candidate)] * PER_SHARD)
    shard = pq.read_table(run.planning / "one.parquet")
    per_file = min(shards, SHARDS_PER_FILE)
    first = run.candidates(0)
    first.parent.mkdir(parents=True)
    with table_writer(first, CANDIDATES, statistics=False) as write:
        for _ in range(per_file):
            write(shard)
    for number in range(1, shards // per_file):
        os.link(first, piece(first, number))
    write_json(run.shard_sizes(0), {"shards": [PER_SHARD] * shards}, indent=None)
    shutil.rmtree(run.planning)


def _results(run: RunDir, finished: int) -> None:
    """One result with the counts of a whole shard, and links to it."""
    row = {field.name: None if field.nullable else _nothing(field.type) for field in RESULTS}
    with ShardStore(run, 0, 0, writer="w") as store:
        store.append(row)
        store.finish()
    for shard in range(1, finished):
        os.link(run.result(0, 0), run.result(0, shard))


def _nothing(kind: pa.DataType) -> object:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "accepted"
    if pa.types.is_list(kind):
        return []
    if pa.types.is_fixed_size_binary(kind):
        return bytes(32)
    if pa.types.is_timestamp(kind):
        return datetime.now(UTC)
    return 0.0 if pa.types.is_floating(kind) else 0


def _info(candidates: int, shards: int) -> RunInfo:
    python = EnvironmentInfo(name="py311", interpreter=sys.executable, python="3.11.0")
    return RunInfo(
        run_id="scale", created_at=datetime.now(UTC), hpc_runner="0", schema_version=SCHEMA_VERSION,
        config=RunConfig(corpus=("/none",)), format="native", corpus_digest="00" * 32,
        samples=candidates, candidates=candidates, duplicates=0, rejected=0, shards=shards,
        runtime="local", runtime_reason="synthesised", environments=(python,), host="none",
    )  # fmt: skip


# -- a cluster


class ToldSlurm(Slurm):
    """Answers what a Slurm with all tasks of the run in its queue would."""

    def __init__(self, shards: int) -> None:
        super().__init__()
        finished, running = shards // 2, shards // 2 + int(shards * RUNNING)
        lines = []
        for shard in range(shards):
            array, index = divmod(shard, SHARDS_PER_FILE)
            state = "RUNNING" if finished <= shard < running else "PENDING"
            state = "COMPLETED" if shard < finished else state
            node = f"n{shard % 200}" if shard < running else ""
            name = f"{job_prefix('scale')}w000-a{array:04d}"
            fields = (1000 + array, index, 10**6 + shard, state, 0, 0, node, "None")
            lines.append("".join(f"{field} |" for field in fields) + f"{name} |")
        self._queue = "\n".join(lines)

    def run(self, argv: Sequence[str], **_: Any) -> str:
        if argv[0] == "squeue":
            return self._queue
        if argv[0] == "scontrol":
            return "MaxArraySize = 1001\nMinJobAge = 300 sec\n"
        raise AssertionError(argv)


# -- what is measured; each in a process of its own


def measure_steps(run: RunDir) -> dict[str, float]:
    """The coordinator's step on a cluster whose queue holds every task: the first of a process
    that has just been started, and those that follow; and with squeue's answer at hand."""
    slurm = ToldSlurm(read_info(run).shards)
    began = time.process_time()
    scheduler = SlurmScheduler(run, Profile(), slurm=slurm, submit=_nothing_more, poll_s=0.0)
    memory = Memory()
    step(run, scheduler, memory)
    first = time.process_time() - began
    later = [_seconds(lambda: step(run, scheduler, memory)) for _ in range(7)]
    lazy = SlurmScheduler(run, Profile(), slurm=slurm, submit=_nothing_more, poll_s=3600.0)
    step(run, lazy, memory)
    between = [_seconds(lambda: step(run, lazy, memory)) for _ in range(7)]
    return {
        "first step": first,
        "step with squeue": statistics.median(later),
        "step without": statistics.median(between),
    }


def _nothing_more(_run: RunDir, array: Array) -> int:
    raise AssertionError(f"{len(array.shards)} shards were submitted, and all are in the queue")


def measure_watch(run: RunDir) -> dict[str, float]:
    """The look that `status` takes: the first on a run, the first of another process, the next."""
    run.tally(0).unlink(missing_ok=True)
    watch = Watch(run)
    first = _seconds(watch.look)
    again = _seconds(lambda: Watch(run).look())
    return {
        "first look": first,
        "look": again,
        "next look": statistics.median(_seconds(watch.look) for _ in range(5)),
    }


def measure_worker(run: RunDir) -> dict[str, float]:
    """What a worker reads before it starts: the last shard."""
    last = read_info(run).shards - 1
    return {"read a shard": _seconds(lambda: read_shard(run.candidates(0), last))}


def measure_order(run: RunDir) -> dict[str, float]:
    """What the planner asks of its database, on an index of so many programs made here: first
    candidates in their order, and samples numbered within their tasks."""
    count = 10 ** int(run.root.name.removeprefix("order-"))
    run.planning.mkdir(parents=True)
    spool = Spool(run, RunConfig(corpus=("/none",)), lambda _: None)
    # In a process of its own: its memory is none of ours.
    made = [sys.executable, "-c", INDEX, str(spool.table), str(count)]
    subprocess.run(made, stdout=subprocess.DEVNULL, check=True)
    with connect(run, memory_limit=database_memory(count)) as database:
        ordered = _seconds(lambda: spool.order(database, slow_first=False))
        numbered = _seconds(lambda: spool.number_samples(database))
    shutil.rmtree(run.root)
    return {"order": ordered, "number samples": numbered}


INDEX = """
import duckdb, sys
path, count = sys.argv[1:]
duckdb.execute("SET preserve_insertion_order = false")
duckdb.execute(f'''
    COPY (SELECT i AS row, 'corpus.jsonl' AS file, i AS file_row,
                 'T/' || (i // 100)::VARCHAR AS task_id,
                 unhex(sha256(i::VARCHAR)) AS candidate_id, NULL::BLOB AS parent,
                 i * 200 AS "offset", 200::BIGINT AS stored_bytes, 300::BIGINT AS bytes,
                 NULL::BLOB AS content, NULL::VARCHAR AS requirements, 0.1::DOUBLE AS expected_s
          FROM range({count}) t(i)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
''')
"""


def measure_plan(run: RunDir) -> dict[str, float]:
    """Distinct small programs from JSON lines to shards, no dependencies, no cache."""
    count = 10 ** int(run.root.name.removeprefix("plan-"))
    corpus = run.root.with_suffix(".jsonl")
    with corpus.open("w") as file:
        for n in range(count):
            task = {"task_id": f"T/{n // 100}", "code": f"def f(x):\n    return x + {n}\n"}
            file.write(json.dumps({**task, "tests": {"kind": "none"}}) + "\n")
    asked = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
    config = RunConfig.parse(asked)
    took = _seconds(lambda: plan(run, config, progress=lambda _: None))
    return {"plan": took}


MEASURES: dict[str, Callable[[RunDir], dict[str, float]]] = {
    "steps": measure_steps,
    "watch": measure_watch,
    "worker": measure_worker,
    "order": measure_order,
    "plan": measure_plan,
}


def _seconds(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def _memory_mb(what: str) -> float:
    """Of this process: VmRSS, what it has; VmHWM, the most that it had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(what)


def in_a_process(what: str, root: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(title: str, sizes: Sequence[int], rows: dict[str, list[float]], unit: str) -> None:
    print(f"\n{title}\n")
    print(f"{'':<18}" + "".join(f"{f'10^{size}':>12}" for size in sizes) + f"{'growth':>12}")
    for name, values in rows.items():
        growth = f"{values[-1] / values[-2]:.1f}" if len(values) > 1 and unit == "s" else ""
        cells = "".join(
            f"{f'{value:.3f}' if unit == 's' else f'{value:.0f}':>12}" for value in values
        )
        print(f"{name:<18}{cells}{growth:>12}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--most", type=int, default=8, help="of candidates, as a power of ten")
    parser.add_argument("--plan-most", type=int, default=6, help="the same for the planner")
    parser.add_argument("--order-most", type=int, default=7, help="the same for its database")
    parser.add_argument("--keep", type=Path, help="where run directories are made and stay")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, root = options.measure
        before = _memory_mb("VmRSS")
        found = MEASURES[what](RunDir(Path(root)))
        print(json.dumps({**found, "MB": _memory_mb("VmHWM") - before}))
        return 0
    with tempfile.TemporaryDirectory(prefix="hpc-runner-scale-") as scratch:
        where = options.keep or Path(scratch)
        return report(where, options.most, options.plan_most, options.order_most)


def report(where: Path, most: int, plan_most: int, order_most: int) -> int:
    where.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.node()}, {cores} cores, Python {platform.python_version()}")
    failed = []
    for title, whats, sizes in (
        (
            f"A run under way, {PER_SHARD:,} candidates a shard, half of the shards finished, "
            f"{RUNNING:.0%} running (synthesised)",
            ("steps", "watch", "worker"),
            range(6, most + 1),
        ),
        ("The planner, on distinct programs", ("plan",), range(4, plan_most + 1)),
        (
            "The planner's database alone, on an index of programs (synthesised)",
            ("order",),
            range(5, order_most + 1),
        ),
    ):
        times: dict[str, list[float]] = {}
        memory: dict[str, list[float]] = {what: [] for what in whats}
        for size in sizes:
            root = where / f"run-{size}"
            if "steps" in whats:
                synthesise(root, size)
            else:
                root = where / f"{whats[0]}-{size}"
                shutil.rmtree(root, ignore_errors=True)
            for what in whats:
                found = in_a_process(what, root)
                memory[what].append(found.pop("MB"))
                for name, value in found.items():
                    times.setdefault(name, []).append(value)
        table(f"{title}: seconds of CPU", list(sizes), times, "s")
        table("Growth of memory, MB", list(sizes), memory, "MB")
        for name, values in times.items():
            if len(values) > 1 and values[-1] > 0.1 and values[-1] > WORSE * values[-2]:
                failed.append(f"{name}: {values[-1] / values[-2]:.1f} times as long")
        for name, values in memory.items():
            if values[-1] > MEMORY_MB + DATABASE_MB * (name in ("order", "plan")):
                failed.append(f"{name}: {values[-1]:.0f} MB")
    print("\n" + ("Worse than linear: " + "; ".join(failed) if failed else "All grows as it may."))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
