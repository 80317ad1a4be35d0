"""The plan: every sample once, every candidate in one shard, and a directory left as it was."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from math import ceil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_plans import write_corpus

from hpc_runner.config import RunConfig
from hpc_runner.corpus.readers import Sample
from hpc_runner.errors import ConfigError, CorpusError, RowError, RunError, RuntimeFailure
from hpc_runner.model import Candidate
from hpc_runner.pipeline import spool
from hpc_runner.pipeline.plan import Counts, lay_out, plan
from hpc_runner.pipeline.sizing import MOST_PER_SHARD, shard_size
from hpc_runner.results.store import read_shard, shard_count
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import read_info

BAD = RowError("c.jsonl", 7, "code", "is missing")


def laid_out(
    where: Path, items: Iterable[tuple[str, str] | RowError], **options: object
) -> tuple[RunDir, Counts]:
    run = RunDir(where)
    run.root.mkdir(exist_ok=True)
    config = RunConfig.parse({"corpus": ("c.jsonl",), **options})
    samples = (
        item
        if isinstance(item, RowError)
        else Sample("c.jsonl", n, Candidate(task_id=item[0], code=item[1]))
        for n, item in enumerate(items)
    )
    return run, lay_out(run, samples, config)


def shards(run: RunDir) -> list[list[tuple[bytes, int, Candidate]]]:
    path = run.candidates(0)
    return [read_shard(path, shard) for shard in range(shard_count(path))]


programs = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([str(n) for n in range(9)])),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, max_examples=25)
@given(programs, st.integers(1, 9))
def test_every_sample_is_kept_and_every_candidate_is_in_one_shard(
    corpus: list[tuple[str, str]], size: int
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run, counts = laid_out(Path(scratch), corpus, shard_size=size)
        kept = pq.read_table(run.samples).to_pylist()
        laid = shards(run)

    ids = [Candidate(task_id=task, code=code).candidate_id for task, code in corpus]
    assert [row["candidate_id"] for row in kept] == ids
    assert [row["row"] for row in kept] == list(range(len(corpus)))
    assert [row["task_id"] for row in kept] == [task for task, _ in corpus]
    seen: Counter[str] = Counter()
    for row in kept:
        assert row["sample"] == seen[row["task_id"]]
        seen[row["task_id"]] += 1

    flat = [row for shard in laid for row in shard]
    assert sorted(row[0] for row in flat) == sorted(set(ids))
    for candidate_id, first, candidate in flat:
        assert candidate.candidate_id == candidate_id
        assert ids.index(candidate_id) == first
        assert candidate.task_id == corpus[first][0]
    assert all(len(shard) <= size for shard in laid)
    assert counts == Counts(len(corpus), len(set(ids)), 0, 0, len(laid))


@settings(deadline=None, max_examples=15)
@given(programs)
def test_a_corpus_too_large_for_one_look_is_planned_the_same(
    corpus: list[tuple[str, str]],
) -> None:
    def planned() -> tuple[list[list[tuple[bytes, int, Candidate]]], list[object]]:
        with tempfile.TemporaryDirectory() as where:
            run, _ = laid_out(Path(where), corpus, shard_size=4)
            return shards(run), pq.read_table(run.samples).to_pylist()

    whole = planned()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "_AT_A_TIME", 3)
        assert planned() == whole


def test_the_candidates_of_a_task_are_spread(tmp_path: Path) -> None:
    corpus = [(task, f"{task}{n}") for task in "abcd" for n in range(5)]
    run, _ = laid_out(tmp_path, corpus, shard_size=4)
    for shard in shards(run):
        assert sorted(candidate.task_id for _, _, candidate in shard) == list("abcd")


def test_the_same_corpus_is_laid_out_alike(tmp_path: Path) -> None:
    corpus = [(task, f"{task}{n % 7}") for n in range(40) for task in "ab"]
    first, _ = laid_out(tmp_path / "1", corpus)
    second, _ = laid_out(tmp_path / "2", corpus)
    assert shards(first) == shards(second)


def test_a_program_that_comes_twice_is_one_candidate_and_two_samples(tmp_path: Path) -> None:
    run, counts = laid_out(tmp_path, [("a", "x"), ("a", "y"), ("a", "x")])
    assert (counts.samples, counts.candidates, counts.duplicates) == (3, 2, 1)
    ids = pq.read_table(run.samples)["candidate_id"].to_pylist()
    assert ids[0] == ids[2] != ids[1]


def test_a_shard_ends_early_when_its_programs_are_large(tmp_path: Path) -> None:
    large = "x" * (17 << 20)
    run, _ = laid_out(tmp_path, [("a", large + str(n)) for n in range(4)], shard_size=4)
    assert [len(shard) for shard in shards(run)] == [2, 2]


def test_bad_rows_are_recorded_and_the_rest_is_kept(tmp_path: Path) -> None:
    run, counts = laid_out(tmp_path, [("a", "x"), BAD, ("a", "y")])
    assert (counts.samples, counts.rejected) == (2, 1)
    assert pq.read_table(run.rejected).to_pylist() == [
        {"file": "c.jsonl", "file_row": 7, "key": "code", "reason": "is missing"}
    ]


def test_text_that_no_file_can_hold_is_a_bad_row(tmp_path: Path) -> None:
    run, counts = laid_out(tmp_path, [("a", "x = '\ud800'"), ("a", "y")])
    assert (counts.samples, counts.rejected) == (1, 1)
    (reason,) = pq.read_table(run.rejected)["reason"].to_pylist()
    assert "surrogate" in str(reason)


def test_strict_stops_at_the_first_bad_row(tmp_path: Path) -> None:
    with pytest.raises(RowError, match=r"c\.jsonl, row 7, 'code': is missing"):
        laid_out(tmp_path, [("a", "x"), BAD, ("a", "y")], strict=True)


def test_limit_counts_samples(tmp_path: Path) -> None:
    _, counts = laid_out(tmp_path, [BAD, ("a", "x"), ("a", "x"), ("a", "y")], limit=2)
    assert (counts.samples, counts.candidates, counts.rejected) == (2, 1, 1)


def test_a_corpus_without_a_usable_row_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"all 2 rows were rejected.*row 7"):
        laid_out(tmp_path, [BAD, BAD])


@given(st.integers(1, 10**7), st.integers(1, 100), st.integers(1, 500))
def test_shards_keep_every_worker_busy(candidates: int, rounds: int, workers: int) -> None:
    size = shard_size(candidates, rounds, workers)
    count = ceil(candidates / size)
    assert 1 <= size <= MOST_PER_SHARD
    if candidates >= workers * workers:  # otherwise rounding up may leave fewer
        assert count >= workers
    if size < MOST_PER_SHARD:
        assert count <= workers * 4


def test_large_corpora_have_four_shards_for_each_worker() -> None:
    assert ceil(16_000 / shard_size(16_000, 3, 8)) == 32
    assert shard_size(10**6, 3, 8) == MOST_PER_SHARD


# The whole plan, in a directory


def config(corpus: Path, **options: object) -> RunConfig:
    return RunConfig.parse({"corpus": (str(corpus),), "runtime": "local", **options})


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.jsonl", [("a", "x"), ("a", "y"), ("b", "x = 1")])


def quiet(_: str) -> None:
    pass


def test_a_plan_says_what_it_found(corpus: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    info = plan(run, config(corpus, rounds=5), progress=quiet)
    assert read_info(run) == info
    assert (info.samples, info.candidates, info.executions_at_most) == (3, 3, 15)
    assert (info.runtime, info.format) == ("local", "native")
    (environment,) = info.environments
    assert environment.name.startswith("py3") and environment.image is None
    assert run.waves() == [0]
    assert not run.planning.exists()


def test_a_directory_of_something_else_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match=r"not empty and not a run.*thesis\.tex"):
        plan(RunDir(tmp_path / "mine"), config(corpus), progress=quiet)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_what_a_killed_plan_left_is_replaced(corpus: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.planning.mkdir(parents=True)
    (run.planning / "spool").write_text("half")
    run.candidates(0).parent.mkdir(parents=True)
    run.candidates(0).write_text("half")
    run.lock.mkdir()
    run.lock_file(4).write_text('{"released": true}')
    (run.root / ".profile.json.4711-0a1b2c3d.tmp").write_text("half")
    info = plan(run, config(corpus), progress=quiet)
    assert shard_count(run.candidates(0)) == info.shards
    assert not run.planning.exists()


def test_a_plan_that_fails_leaves_nothing(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"task_id": "a", "code": "x"}\n{"task_id": "b", "code": 5}\n')
    with pytest.raises(RowError):
        plan(RunDir(tmp_path / "run"), config(corpus, strict=True), progress=quiet)
    assert not (tmp_path / "run").exists()


def test_an_environment_in_which_no_agent_starts_stops_the_plan(
    corpus: Path, tmp_path: Path
) -> None:
    """It answers when it is asked for its version, and can't run the agent."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase " $* " in *" -c "*) echo 3.11.7;; *) echo no libz >&2; exit 1;; esac'
    )
    python.chmod(0o755)
    run = RunDir(tmp_path / "run")
    with pytest.raises(RuntimeFailure, match=r"the agent doesn't start.*no libz"):
        plan(run, config(corpus, python=str(python)), progress=quiet)
    assert not run.root.exists()


def test_a_runtime_is_not_asked_for_what_it_has_not(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--isolation container needs a runtime"):
        plan(RunDir(tmp_path / "run"), config(corpus, isolation="container"), progress=quiet)
    assert not (tmp_path / "run").exists()
