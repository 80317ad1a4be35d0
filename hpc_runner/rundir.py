"""The run directory.  The only module that builds a path of it.

RUN/
  run.json                     what was asked (RunConfig), who made it, digests;
                               written last: its existence says that the plan is complete
  profile.json                 the site profile, for a run on a cluster
  chain.json                   of a run whose coordinator is a chain of jobs: what it needs to know
  coordinator.sh               the script of these jobs
  coordinator.log              what they print
  watch.sh                     the script of the jobs that look at array tasks meanwhile
  watch.json                   what the last of them saw
  planning/                    the planner's scratch space, gone when the plan is complete
  samples.parquet              one row per program of the corpus
  rejected.parquet             rows of the corpus that could not be used
  cached_candidates.parquet    what the result cache knew, if it knew anything, so that it
  cached_votes.parquet         is in no shard; and its votes
  waves/000/candidates.parquet one row group per shard; from the 1,000th shard on
                               candidates-001.parquet and so on, which are there before it
  waves/000/shards.json        how many candidates each shard has
  waves/000/dependencies.json  where the candidates' dependencies lie, if they have any
  waves/000/parts/00000/       what a worker has committed of a shard so far
  waves/000/results/00000.parquet   a finished shard: its existence is the marker
  waves/000/results/compacted/00000-00999.parquet   many small ones in one file, once they
                               have been voted on; it counts before the files of its shards
  waves/000/heartbeats/00000.json   what a worker last said of itself
  waves/000/logs/00000.log     stderr of the workers of a shard
  waves/000/arrays/0000.json   a job array: which shards it runs, its job id once it has one
  waves/000/arrays/0000/       its job script and what Slurm prints, gone when it has ended
  waves/000/ledger.json        what the coordinator must not forget: failures, excluded nodes
  waves/000/troubles/00000/    of a shard that keeps failing: what its next worker may run,
                               and what was run of it
  waves/001/refined.parquet    what became of each candidate that was to be refined into it; there
                               before its candidates
  waves/000/tally.json         verdicts of finished shards, so that status needn't count again
  answers.jsonl                what models answered, as it came: nothing is paid for twice
  batches.jsonl                batches of questions that were sent, and what is in each
  logs/combined.log            what the coordinator noted, as JSON lines; error.log: its errors
  votes.parquet                after the last wave's vote
  summary.json                 what `hpc-runner report` prints
  behaviours/32-0/             what `hpc-runner select --method inputs` ran: a run of its own
  lock/000001.json             who coordinates the run, or did last
  cancelled                    present when the user cancelled the run
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunDir:
    """Paths of one run; creates nothing."""

    root: Path

    @property
    def info(self) -> Path:
        return self.root / "run.json"

    @property
    def profile(self) -> Path:
        return self.root / "profile.json"

    @property
    def chain(self) -> Path:
        return self.root / "chain.json"

    @property
    def coordinator_script(self) -> Path:
        return self.root / "coordinator.sh"

    @property
    def coordinator_log(self) -> Path:
        return self.root / "coordinator.log"

    @property
    def watch_script(self) -> Path:
        return self.root / "watch.sh"

    @property
    def watch(self) -> Path:
        return self.root / "watch.json"

    @property
    def planning(self) -> Path:
        return self.root / "planning"

    @property
    def samples(self) -> Path:
        return self.root / "samples.parquet"

    @property
    def rejected(self) -> Path:
        return self.root / "rejected.parquet"

    @property
    def cached_candidates(self) -> Path:
        return self.root / "cached_candidates.parquet"

    @property
    def cached_votes(self) -> Path:
        return self.root / "cached_votes.parquet"

    @property
    def answers(self) -> Path:
        return self.root / "answers.jsonl"

    @property
    def batches(self) -> Path:
        return self.root / "batches.jsonl"

    @property
    def votes(self) -> Path:
        return self.root / "votes.parquet"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def cancelled(self) -> Path:
        return self.root / "cancelled"

    def scratch(self, name: str) -> Path:
        """Where a query puts what doesn't fit into memory; gone when it ends."""
        return self.root / f".scratch-{name}"

    def behaviours(self, inputs: int, seed: int) -> RunDir:
        """The run of this one's programs on generated inputs."""
        return RunDir(self.root / "behaviours" / f"{inputs}-{seed}")

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def lock_file(self, number: int) -> Path:
        return self.lock / f"{number:06d}.json"

    def lock_numbers(self) -> set[int]:
        return _numbers(self.lock, ".json")

    def wave(self, wave: int) -> Path:
        return self.root / "waves" / f"{wave:03d}"

    def candidates(self, wave: int) -> Path:
        return self.wave(wave) / "candidates.parquet"

    def shard_sizes(self, wave: int) -> Path:
        return self.wave(wave) / "shards.json"

    def refined(self, wave: int) -> Path:
        return self.wave(wave) / "refined.parquet"

    def refined_files(self) -> list[Path]:
        """Of every wave that was to be opened, in order."""
        return sorted((self.root / "waves").glob("[0-9][0-9][0-9]/refined.parquet"))

    def dependencies(self, wave: int) -> Path:
        return self.wave(wave) / "dependencies.json"

    def results(self, wave: int) -> Path:
        return self.wave(wave) / "results"

    def result(self, wave: int, shard: int) -> Path:
        return self.results(wave) / f"{shard:05d}.parquet"

    def compacted(self, wave: int) -> Path:
        return self.results(wave) / "compacted"

    def compacted_result(self, wave: int, shards: range) -> Path:
        return self.compacted(wave) / f"{shards.start:05d}-{shards.stop - 1:05d}.parquet"

    def parts(self, wave: int, shard: int) -> Path:
        return self.wave(wave) / "parts" / f"{shard:05d}"

    def heartbeat(self, wave: int, shard: int) -> Path:
        return self.wave(wave) / "heartbeats" / f"{shard:05d}.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, wave: int, shard: int) -> Path:
        return self.wave(wave) / "logs" / f"{shard:05d}.log"

    def array(self, wave: int, number: int) -> Path:
        return self.wave(wave) / "arrays" / f"{number:04d}.json"

    def array_files(self, wave: int, number: int) -> Path:
        return self.wave(wave) / "arrays" / f"{number:04d}"

    def arrays(self) -> list[tuple[int, int]]:
        """(wave, number) of every job array, in order."""
        found = (self.root / "waves").glob("[0-9][0-9][0-9]/arrays/[0-9]*.json")
        return sorted((int(path.parts[-3]), int(path.stem)) for path in found)

    def ledger(self, wave: int) -> Path:
        return self.wave(wave) / "ledger.json"

    def tally(self, wave: int) -> Path:
        return self.wave(wave) / "tally.json"

    def troubles(self, wave: int) -> Path:
        return self.wave(wave) / "troubles"

    def troubled_shards(self, wave: int) -> set[int]:
        return _numbers(self.troubles(wave), "")

    def portion(self, wave: int, shard: int) -> Path:
        return self.troubles(wave) / f"{shard:05d}" / "portion.json"

    def portion_done(self, wave: int, shard: int, name: str) -> Path:
        return self.portion(wave, shard).with_name(f"{name}.done")

    def waves(self) -> list[int]:
        """The waves whose candidates are complete, in order."""
        found = (self.root / "waves").glob("[0-9][0-9][0-9]/candidates.parquet")
        return sorted(int(path.parent.name) for path in found)

    def finished_shards(self, wave: int) -> set[int]:
        # Those first: compaction removes a shard's file after the compacted one is there.
        single = _numbers(self.results(wave), ".parquet")
        return single.union(*_ranges(self.compacted(wave)))

    def is_finished(self, wave: int, shard: int) -> bool:
        single = self.result(wave, shard).exists()
        return single or any(shard in shards for shards in _ranges(self.compacted(wave)))

    def result_files(self, wave: int) -> list[tuple[range, Path]]:
        """The finished shards and the files that hold them, each shard in one, in order."""
        single = _numbers(self.results(wave), ".parquet")
        compacted = _ranges(self.compacted(wave))
        single = single.difference(*compacted)
        found = [(shards, self.compacted_result(wave, shards)) for shards in compacted]
        found += [(range(shard, shard + 1), self.result(wave, shard)) for shard in single]
        return sorted(found, key=lambda item: item[0].start)

    def superseded_results(self, wave: int) -> list[Path]:
        """Those of shards that a compacted file holds, too: nobody reads them."""
        single = _numbers(self.results(wave), ".parquet")
        held = {shard for shards in _ranges(self.compacted(wave)) for shard in shards}
        return [self.result(wave, shard) for shard in sorted(single & held)]

    def beating_shards(self, wave: int) -> set[int]:
        """Those that a worker has said something of."""
        return _numbers(self.heartbeat(wave, 0).parent, ".json")


def piece(path: Path, number: int) -> Path:
    """The file that goes on where ``path`` ends: ``candidates-001.parquet``."""
    return path.with_name(f"{path.stem}-{number:03d}{path.suffix}") if number else path


def _numbers(directory: Path, suffix: str) -> set[int]:
    """N for each ``N.suffix``; one pass over the names, for there may be many thousands."""
    return {int(stem) for stem in _stems(directory, suffix) if stem.isdecimal()}


def _ranges(directory: Path) -> list[range]:
    """N to M, both included, for each ``N-M.parquet``."""
    pairs = (stem.partition("-") for stem in _stems(directory, ".parquet"))
    return [
        range(int(first), int(last) + 1)
        for first, _, last in pairs
        if first.isdecimal() and last.isdecimal()
    ]


def _stems(directory: Path, suffix: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
