"""A worker that behaves like the real one but for running nothing: the verdict is the
first word of the candidate's code, the time it takes and its faults come from the environment.
A candidate whose first word is "kill" takes the worker with it.

    STANDIN_DELAY_S    seconds per execution
    STANDIN_FAIL       "SHARD:TIMES": that shard's first TIMES workers fail
    STANDIN_EXIT       with this exit code, instead of 1
    STANDIN_DEAF       be deaf to SIGTERM and SIGINT

Each execution is told in RUN/executed as "candidate round", each failure in RUN/failed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from hpc_runner.model import Candidate
from hpc_runner.results.portion import Portion, mark_done, read_portion
from hpc_runner.results.schema import RESULTS
from hpc_runner.results.store import ResultRow, ShardStore, read_shard, write_heartbeat
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

PR_SET_PDEATHSIG = 1
STOPPED = 3


def tell(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def row(
    where: tuple[RunDir, int, int], candidate_id: bytes, candidate: Candidate, verdict: str, n: int
) -> ResultRow:
    run, wave, shard = where
    said = {
        "run_id": read_info(run).run_id, "wave": wave, "shard": shard,
        "task_id": candidate.task_id, "candidate_id": candidate_id,
        "generation": candidate.generation,
        "environment": "standin", "round": n, "verdict": verdict, "isolation": "limits",
        "host": platform.node(), "started_at": datetime.now(UTC),
    }  # fmt: skip
    return {
        field.name: said.get(field.name, None if field.nullable else nothing(field.type))
        for field in RESULTS
    }


def nothing(kind: pa.DataType) -> object:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ""
    if pa.types.is_list(kind):
        return []
    if pa.types.is_fixed_size_binary(kind):
        return bytes(32)
    return 0


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work(
    run: RunDir,
    wave: int,
    shard: int,
    *,
    stop: Sequence[int] = (),
    die: Callable[[], None] = killed,
) -> int:
    """Run a shard, or the portion of it that may be run; the exit code."""
    where = run, wave, shard
    rounds = read_info(run).config.rounds
    delay_s = float(os.environ.get("STANDIN_DELAY_S", "0"))
    writer = f"w{os.getpid()}-{time.time_ns()}"
    with ShardStore(*where, writer=writer, part_rows=5) as store:
        if store.finished:
            return 0
        known = {found.key for found in store.recovered()}
        rows = read_shard(run.candidates(wave), shard)
        portion = read_portion(*where) or Portion("", 0, len(rows), whole=True)
        done = len(known)
        for place, (candidate_id, _, candidate) in enumerate(rows):
            if not portion.first <= place < portion.end:
                continue
            verdict = candidate.code.split()[0]
            if place in portion.unjudged:
                verdict = "internal_error"
            for n in range(rounds):
                if stop:
                    store.commit()
                    return STOPPED
                if (candidate_id, "standin", n) in known:
                    continue
                time.sleep(delay_s)
                if verdict == "kill":
                    die()
                tell(run.root / "executed", f"{candidate_id.hex()} {n}")
                store.append(row(where, candidate_id, candidate, verdict, n))
                done += 1
                beat = {
                    "wave": wave, "shard": shard, "writer": writer, "pid": os.getpid(),
                    "host": platform.node(), "done": done, "planned": len(rows) * rounds,
                    "verdicts": {}, "in_flight": 1,
                }  # fmt: skip
                write_heartbeat(run.heartbeat(wave, shard), beat)
        if portion.whole:
            store.finish()
        else:
            store.commit()
            mark_done(*where, portion)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("wave", type=int)
    parser.add_argument("shard", type=int)
    parser.add_argument("--die-with-parent", type=int)
    asked = parser.parse_args()
    run, shard = RunDir(asked.run), asked.shard
    stop: list[int] = []
    if "STANDIN_DEAF" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        signal.signal(signal.SIGINT, lambda *_: stop.append(1))
    if asked.die_with_parent:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != asked.die_with_parent:
            return STOPPED

    bad, _, times = os.environ.get("STANDIN_FAIL", "").partition(":")
    failed = run.root / "failed"
    before = failed.read_text().split() if failed.exists() else []
    if bad == str(shard) and before.count(bad) < int(times):
        tell(failed, bad)
        print("the node's disk is on fire", file=sys.stderr)
        return int(os.environ.get("STANDIN_EXIT", "1"))

    return work(run, asked.wave, shard, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
