"""Silence is measured by the coordinator's own clock, and only while it watches."""

from __future__ import annotations

import os
from pathlib import Path

from hpc_runner.pipeline.failures import Patience
from hpc_runner.pipeline.pulse import Pulse
from hpc_runner.pipeline.scheduler import Attempt, AttemptState
from hpc_runner.rundir import RunDir

PATIENCE = Patience(silent_s=60.0, first_word_s=300.0)


class World:
    def __init__(self, root: Path) -> None:
        self.now = 1000.0
        self.run = RunDir(root)
        self.pulse = Pulse(PATIENCE, lambda: self.now)
        self.run.heartbeat(0, 0).parent.mkdir(parents=True)
        self._ticks = 0

    def beat(self, shard: int) -> None:
        """Times of files only ever go up here; what they say doesn't matter."""
        self._ticks += 1
        path = self.run.heartbeat(0, shard)
        path.touch()
        os.utime(path, (self._ticks, self._ticks))

    def look(self, after_s: float, *shards: int) -> list[int]:
        self.now += after_s
        running = [Attempt(f"a{shard}", 0, shard, AttemptState.RUNNING) for shard in shards]
        return [attempt.shard for attempt in self.pulse.silent(self.run, running)]

    def until_silent(self, *shards: int, beating: tuple[int, ...] = ()) -> tuple[float, list[int]]:
        """Looks every five seconds: after how long somebody is taken for lost, and who."""
        began = self.now
        while self.now < began + 3600:
            for shard in beating:
                self.beat(shard)
            if found := self.look(5, *shards):
                return self.now - began, found
        return 3600, []


def test_a_worker_that_stops_beating_is_silent_after_its_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.look(0, 1, 2) == []
    for _ in range(20):
        world.beat(1)
        world.beat(2)
        assert world.look(10, 1, 2) == []
    after_s, found = world.until_silent(1, 2, beating=(2,))
    assert found == [1]
    assert 60 < after_s <= 60 + 2 * 10 + 5


def test_before_the_first_beat_more_time_is_given(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.beat(1)  # of an earlier worker on that shard
    after_s, found = world.until_silent(1)
    assert found == [1]
    assert 300 < after_s <= 325


def test_another_attempt_begins_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.look(0, 1)
    world.beat(1)
    world.look(20, 1)
    assert world.look(50) == []  # it has ended
    after_s, _ = world.until_silent(1)
    assert after_s > 300


def test_time_in_which_nobody_watched_is_held_against_no_one(tmp_path: Path) -> None:
    """The coordinator was stopped, or its machine slept."""
    world = World(tmp_path)
    world.look(0, 1)
    world.beat(1)
    assert world.look(20, 1) == []
    assert world.look(7200, 1) == []
    after_s, _ = world.until_silent(1)
    assert after_s > 60


def test_looks_are_rare(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.look(0, 1)
    world.beat(1)
    world.look(20, 1)
    world.run.heartbeat(0, 1).unlink()
    assert world.look(1, 1) == []  # it doesn't look at the file so soon: no change is seen
    world.beat(1)
    after_s, _ = world.until_silent(1)
    assert after_s > 60
