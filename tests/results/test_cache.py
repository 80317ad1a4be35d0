"""The result cache: what is found, what isn't any more, and that damage is never believed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpc_runner.errors import StorageError
from hpc_runner.results import segments
from hpc_runner.results.cache import ENTRIES, JOIN_AT, Cache, Keep

NOW = datetime.now(UTC)


def key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def entries(numbers: Iterable[int], **columns: Any) -> pa.Table:
    row = dict.fromkeys(ENTRIES.names) | {
        "created_at": NOW,
        "run_id": "made",
        "isolation": "full",
        "source": "/runs/made",
        "source_wave": 0,
        "source_candidate": bytes(32),
        "verdict": "accepted",
        "accepted": True,
        "consensus": True,
        "flaky": False,
        "judged": 3,
        "unjudged": 0,
        "environments": 1,
        "reliability": "stable",
    }
    rows = [row | {"key": key(number)} | columns for number in numbers]
    return pa.Table.from_pylist(rows, schema=ENTRIES)


def found(
    cache: Cache, numbers: Sequence[int], directory: Path, levels: Sequence[str] = ("full",)
) -> dict[int, str]:
    """What a look at the cache says of these, in its order."""
    wanted = directory / "wanted.parquet"
    keys = pa.array([key(number) for number in numbers], pa.binary(32))
    pq.write_table(pa.table({"key": keys, "number": list(numbers)}), wanted)
    rows = [row for batch in cache.lookup(wanted, levels) for row in batch.to_pylist()]
    return {row["number"]: row["verdict"] for row in rows}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_an_entry_is_found_by_its_key_alone(cache: Cache, tmp_path: Path) -> None:
    cache.add(entries([1, 2]))
    cache.add(entries([3], verdict="wrong_answer"))
    assert list(found(cache, [3, 9, 1], tmp_path).items()) == [(3, "wrong_answer"), (1, "accepted")]


def test_an_empty_cache_answers_nothing_and_makes_nothing(cache: Cache, tmp_path: Path) -> None:
    assert found(cache, [1], tmp_path) == {}
    assert cache.stats().hit_rate is None
    assert not cache.directory.exists()


def test_an_entry_of_weaker_isolation_is_not_found(cache: Cache, tmp_path: Path) -> None:
    cache.add(entries([1], isolation="filtered"))
    assert found(cache, [1], tmp_path, ["full"]) == {}
    assert found(cache, [1], tmp_path, ["filtered", "full"]) == {1: "accepted"}


def test_entries_that_contradict_each_other_are_not_believed(cache: Cache, tmp_path: Path) -> None:
    cache.add(entries([1, 2]))
    cache.add(entries([1], verdict="time_limit", created_at=NOW + timedelta(seconds=1)))
    assert found(cache, [1, 2], tmp_path) == {2: "accepted"}
    for number in range(10, 10 + JOIN_AT):  # joined meanwhile
        cache.add(entries([number]))
    assert found(cache, [1, 2], tmp_path) == {2: "accepted"}
    Cache(cache.directory, keep=Keep(entries=1)).prune()  # nor is one of them left alone
    assert 1 not in found(cache, [1], tmp_path)


def test_old_entries_are_not_found_and_go_away(cache: Cache, tmp_path: Path) -> None:
    cache.add(entries([1], created_at=NOW - timedelta(hours=2)))
    cache.add(entries([2]))
    young = Cache(cache.directory, keep=Keep(seconds=3600))
    assert found(young, [1, 2], tmp_path) == {2: "accepted"}
    assert found(cache, [1, 2], tmp_path) == {1: "accepted", 2: "accepted"}
    assert young.prune() == 1
    assert found(cache, [1, 2], tmp_path) == {2: "accepted"}


def test_what_was_used_longest_ago_goes_first(cache: Cache, tmp_path: Path) -> None:
    cache.add(entries(range(10), created_at=NOW - timedelta(hours=1)))
    used = pa.table({"key": pa.array([key(3), key(7)], pa.binary(32))})
    cache.used(used, misses=1)
    small = Cache(cache.directory, keep=Keep(entries=2))
    assert small.prune() == 8
    assert found(cache, range(10), tmp_path) == {3: "accepted", 7: "accepted"}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.evictions, stats.entries) == (2, 1, 8, 2)
    assert stats.hit_rate == pytest.approx(2 / 3)


def test_a_cache_keeps_to_its_size_by_itself(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", keep=Keep(entries=50))
    for start in range(0, 200, 20):
        cache.add(entries(range(start, start + 20)))
        assert cache.stats().entries <= 50
    bounded = Cache(tmp_path / "bounded", keep=Keep(bytes=40_000))
    for start in range(0, 4000, 500):
        bounded.add(entries(range(start, start + 500)))
    assert 0 < bounded.stats().bytes <= 40_000


def test_small_segments_are_joined_and_nothing_is_lost(cache: Cache, tmp_path: Path) -> None:
    for number in range(3 * JOIN_AT):
        cache.add(entries([number]))
        cache.used(pa.table({"key": pa.array([key(number)], pa.binary(32))}), misses=1)
    assert cache.stats().segments < JOIN_AT
    assert len(found(cache, range(3 * JOIN_AT), tmp_path)) == 3 * JOIN_AT
    assert (cache.stats().hits, cache.stats().misses) == (3 * JOIN_AT, 3 * JOIN_AT)


def test_replaced_segments_stay_for_those_who_read_them(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(JOIN_AT):
        cache.add(entries([number]))
    files = list((cache.directory / "entries").iterdir())
    assert len(files) == JOIN_AT + 1
    monkeypatch.setattr(segments, "GRACE_S", -1.0)
    cache.add(entries([JOIN_AT]))
    assert len(list((cache.directory / "entries").iterdir())) == 2
    assert len(found(cache, range(JOIN_AT + 1), tmp_path)) == JOIN_AT + 1


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_segment_is_set_aside_and_said_so(tmp_path: Path, damage: str) -> None:
    directory = tmp_path / "cache"
    Cache(directory).add(entries([1, 2]))
    Cache(directory).add(entries([3]))
    path = next(
        path
        for path in (directory / "entries").iterdir()
        if pq.read_table(path).num_rows == 2
    )  # fmt: skip
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    made = {"flip": content, "cut": content[:-9], "empty": b"", "other": b"PAR1 no PAR1"}
    path.write_bytes(made[damage])
    said: list[str] = []
    assert found(Cache(directory, readonly=True, say=said.append), [1, 2, 3], tmp_path) == {
        3: "accepted"
    }
    assert path.exists() and len(said) == 1 and str(path) in said[0]
    cache = Cache(directory, say=said.append)
    assert found(cache, [1, 2, 3], tmp_path) == {3: "accepted"}
    assert len(said) == 2
    assert not path.exists() and cache.stats().damaged == 1
    assert found(Cache(directory, say=said.append), [1, 2, 3], tmp_path) == {3: "accepted"}
    assert len(said) == 2


def test_readonly_writes_nothing(tmp_path: Path) -> None:
    Cache(tmp_path / "cache").add(entries([1]))
    before = sorted(path.name for path in (tmp_path / "cache").rglob("*"))
    cache = Cache(tmp_path / "cache", readonly=True)
    cache.add(entries([2]))
    cache.used(pa.table({"key": pa.array([key(1)], pa.binary(32))}), misses=5)
    with pytest.raises(StorageError, match="read-only"):
        cache.prune()
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*")) == before


def test_what_was_forgotten_is_not_found_again(cache: Cache, tmp_path: Path) -> None:
    cache.add(entries([1, 2]))
    cache.forget([key(1)])
    assert found(cache, [1, 2], tmp_path) == {2: "accepted"}


def test_a_directory_that_can_not_be_written_is_trouble_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match=str(tmp_path / "cache")):
        Cache(tmp_path / "cache").add(entries([1]))


_WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from tests.results.test_cache import Cache, entries, found, key, pq

directory, scratch = Path(sys.argv[1]), Path(sys.argv[4])
first, count = int(sys.argv[2]), int(sys.argv[3])
cache = Cache(directory, say=lambda text: sys.exit(f"damage: {text}"))
for number in range(first, first + count):
    cache.add(entries([number], verdict="accepted" if number % 2 else "wrong_answer"))
    looked = found(cache, [number, number - 1], scratch)
    assert looked[number] == ("accepted" if number % 2 else "wrong_answer"), looked
    cache.used(pa.table({"key": pa.array([key(number)], pa.binary(32))}), misses=1)
    print(number, flush=True)
"""


def test_eight_processes_share_a_cache_while_one_is_killed(checkout: Path, tmp_path: Path) -> None:
    directory, each = tmp_path / "cache", 12
    environment = os.environ | {"PYTHONPATH": str(checkout)}

    def start(first: int) -> subprocess.Popen[bytes]:
        scratch = tmp_path / f"of-{first}"
        scratch.mkdir()
        return subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(directory), str(first), str(each), str(scratch)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    victim, *others = [start(first * 1000) for first in range(8)]
    assert victim.stdout is not None
    done = [int(victim.stdout.readline()) for _ in range(4)]
    time.sleep(0.002 * (os.getpid() % 50))  # somewhere in its next turn
    victim.send_signal(signal.SIGKILL)
    for other in others:
        _, told = other.communicate(timeout=300)
        assert other.returncode == 0, told.decode()
    victim.communicate()
    cache = Cache(directory, say=pytest.fail)
    numbers = [*done, *(first * 1000 + n for first in range(1, 8) for n in range(each))]
    seen = found(cache, numbers, tmp_path)
    assert seen == {n: "accepted" if n % 2 else "wrong_answer" for n in numbers}
