"""An opener that behaves: of each candidate that isn't accepted it makes a better one."""

from __future__ import annotations

from collections.abc import Set

import pyarrow.parquet as pq

from hpc_runner.results.candidates import read_shard, shard_count, wave_writer
from hpc_runner.rundir import RunDir

BETTER = {"wrong_answer": "runtime_error", "runtime_error": "accepted"}


class Refining:
    """``"wrong_answer 7"`` becomes ``"runtime_error 7"``, and that ``"accepted 7"``, in shards
    of two; no more than ``waves`` waves."""

    def __init__(self, waves: int = 9) -> None:
        self._waves = waves
        self.early_calls: list[tuple[int, int]] = []
        """Wave, finished shards."""

    def open(self, run: RunDir, wave: int) -> int:
        votes = pq.read_table(run.votes, columns=["candidate_id", "wave", "accepted"]).to_pylist()
        failed = {v["candidate_id"] for v in votes if v["wave"] == wave - 1 and not v["accepted"]}
        before = run.candidates(wave - 1)
        rows = [row for n in range(shard_count(before)) for row in read_shard(before, n)]
        better = []
        for candidate_id, row, candidate in rows:
            word, _, rest = candidate.code.partition(" ")
            if candidate_id in failed and word in BETTER:
                made = candidate.model_copy(
                    update={
                        "code": f"{BETTER[word]} {rest}",
                        "generation": candidate.generation + 1,
                        "parent": candidate_id,
                    }
                )
                better.append((made.candidate_id, row, made))
        if not better or wave >= self._waves:
            return 0
        with wave_writer(run, wave) as writer:
            for first in range(0, len(better), 2):
                writer.write_shard(better[first : first + 2])
        return len(better)

    def early(self, run: RunDir, wave: int, finished: Set[int]) -> None:
        assert all(run.result(wave, shard).exists() for shard in finished)
        self.early_calls.append((wave, len(finished)))

    def stop(self) -> None:
        """It is never long at it."""
