"""The books over a cluster that stops, loses and breaks tasks at will: killers are found, others
never blamed, and nothing goes on for ever."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_runner.pipeline.failures import Books, Patience
from hpc_runner.pipeline.halving import portion
from hpc_runner.pipeline.scheduler import Attempt, AttemptState, Cause
from hpc_runner.results.heartbeat import write_heartbeat
from hpc_runner.results.ledger import Ledger, read_ledger, write_ledger
from hpc_runner.rundir import RunDir

PATIENCE = Patience()
HARMLESS = [Cause.STOPPED, Cause.LOST, Cause.TIMEOUT]


class Cluster:
    """Runs shards of ``rows`` candidates: those of ``killers`` (shard, row) kill their worker,
    and before a task ends by itself, others of its attempts may end by ``fates``."""

    def __init__(
        self, run: RunDir, shards: int, rows: int, killers: set[tuple[int, int]], bad_node: bool
    ) -> None:
        self.run, self.shards, self.rows = run, shards, rows
        self.killers, self.bad_node = killers, bad_node
        self.attempts: list[Attempt] = []
        self.finished: set[int] = set()
        self.judged: set[tuple[int, int]] = set()
        self.unjudged: set[tuple[int, int]] = set()

    def end(self, ledger: Ledger, shard: int, fate: Cause | None) -> None:
        number = len(self.attempts)
        node = f"n{number % 6}"
        if node == "n1" and self.bad_node and "n1" in ledger.excluded:
            node = "n2"
        if fate is not None:
            cause, detail = fate, "so it goes"
            self._progress(shard, number)
        elif node == "n1" and self.bad_node:
            cause, detail = Cause.FAILED, "the node is broken"
        else:
            cause, detail = self._work(ledger, shard)
        ended = Attempt(f"t{number}", 0, shard, AttemptState.ENDED, cause, detail, node)
        self.attempts.append(ended)

    def _work(self, ledger: Ledger, shard: int) -> tuple[Cause, str]:
        record = ledger.shards.get(shard)
        search = record.search if record else None
        first, end, whole, given_up = 0, self.rows, True, set[int]()
        if search is not None:
            may = portion(search, self.rows)
            first, end, whole = may.first, may.end, may.whole
            given_up = set(may.unjudged)
        for row in range(first, end):
            if row in given_up:
                self.unjudged.add((shard, row))
            elif (shard, row) in self.killers:
                return Cause.FAILED, "its worker died of signal 9 (Killed)"
            else:
                self.judged.add((shard, row))
        if whole:
            self.finished.add(shard)
        else:
            assert search is not None
            done = self.run.portion_done(0, shard, search.name)
            done.parent.mkdir(parents=True, exist_ok=True)
            done.touch()
        return Cause.DONE, "its worker ended well"

    def _progress(self, shard: int, done: int) -> None:
        beat = {"wave": 0, "shard": shard, "writer": "w", "pid": 1, "host": "n", "planned": 99}
        write_heartbeat(self.run.heartbeat(0, shard), {**beat, "done": done, "verdicts": {}})


@st.composite
def clusters(draw: st.DrawFn) -> tuple[int, int, set[tuple[int, int]], bool]:
    shards, rows = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    # Shard 0 has none, so that something is judged before anybody is given up.
    places = st.tuples(st.integers(1, shards - 1), st.integers(0, rows - 1))
    return shards, rows, draw(st.sets(places, max_size=5)), draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(clusters(), st.lists(st.sampled_from([None, None, None, *HARMLESS]), max_size=120))
def test_killers_are_found_whatever_else_happens(
    given_cluster: tuple[int, int, set[tuple[int, int]], bool], fates: list[Cause | None]
) -> None:
    shards, rows, killers, bad_node = given_cluster
    with tempfile.TemporaryDirectory() as root:
        run = RunDir(Path(root))
        run.wave(0).mkdir(parents=True)
        cluster = Cluster(run, shards, rows, killers, bad_node)
        ledger = Ledger()
        for turn in range(2000):
            missing = [shard for shard in range(shards) if shard not in cluster.finished]
            if not missing:
                break
            fate = fates[turn] if turn < len(fates) else None
            cluster.end(ledger, missing[turn % len(missing)], fate)
            # As after a restart: what isn't in the file is forgotten.
            ledger = read_ledger(run, 0)
            books = Books(run, 0, ledger, PATIENCE, lambda _: rows)
            books.update(cluster.attempts, cluster.finished)
            if books.changed:
                write_ledger(run, 0, ledger)
            assert books.stop is None
            again = Books(run, 0, read_ledger(run, 0), PATIENCE, lambda _: rows)
            again.update(cluster.attempts, cluster.finished)
            assert not again.changed, "what was taken note of is taken note of again"
        assert cluster.finished == set(range(shards))
        assert len(cluster.attempts) < 150 + 40 * (len(killers) + shards)
        ledger = read_ledger(run, 0)
        assert not ledger.shards
        given_up = {(killer.shard, killer.row) for killer in ledger.killers}
        assert given_up >= killers
        assert given_up == cluster.unjudged
        everything = {(shard, row) for shard in range(shards) for row in range(rows)}
        assert cluster.judged >= everything - given_up
        if not bad_node:
            assert given_up == killers, "somebody was blamed for what others did"
            assert not ledger.excluded
        assert set(ledger.excluded) <= {"n1"}
