"""The vote: its rules, its independence of order, and the SQL against the plain words."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results.made_runs import MadeCandidate, make_candidate, make_row, make_run

from hpc_runner.errors import StorageError
from hpc_runner.model import Verdict
from hpc_runner.results.schema import VOTES
from hpc_runner.results.store import CandidateWriter, ShardStore
from hpc_runner.results.vote import TIE_ORDER, Tally, outcome, vote
from hpc_runner.rundir import RunDir

verdicts = st.sampled_from(list(Verdict))
few_verdicts = st.sampled_from(
    [Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.TIME_LIMIT, Verdict.INTERNAL_ERROR]
)
thresholds = st.sampled_from([0.51, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1.0])


def alone(verdicts: list[Verdict]) -> Verdict | None:
    """What one environment says, in the plain words of docs/results.md."""
    judged = Counter(verdict for verdict in verdicts if verdict is not Verdict.INTERNAL_ERROR)
    return min(judged, key=lambda v: (-judged[v], TIE_ORDER.index(v)), default=None)


def votes_of(run: RunDir) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.ParquetFile(run.votes).read().to_pylist()
    return rows


def test_every_verdict_but_ours_has_its_place_in_a_tie_and_accepted_is_last() -> None:
    assert {*TIE_ORDER, Verdict.INTERNAL_ERROR} == set(Verdict)
    assert TIE_ORDER[-1] is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("counts", "verdict", "accepted", "consensus", "flaky"),
    [
        ({"accepted": 3}, "accepted", True, True, False),
        ({"accepted": 4, "wrong_answer": 1}, "accepted", True, True, True),
        ({"accepted": 2, "wrong_answer": 1}, "accepted", False, False, True),
        ({"accepted": 1, "wrong_answer": 1}, "wrong_answer", False, False, True),
        ({"time_limit": 1, "wrong_answer": 1}, "time_limit", False, False, True),
        ({"accepted": 1, "internal_error": 2}, "accepted", True, True, False),
        ({"internal_error": 3}, None, False, False, False),
        ({}, None, False, False, False),
    ],
)
def test_the_rules(
    counts: dict[str, int], verdict: str | None, accepted: bool, consensus: bool, flaky: bool
) -> None:
    found = outcome({Verdict(name): count for name, count in counts.items()}, 0.8)
    assert found.verdict == verdict
    assert (found.accepted, found.consensus, found.flaky) == (accepted, consensus, flaky)
    assert found.unjudged == counts.get("internal_error", 0)


def test_the_interval_is_wilsons() -> None:
    found = outcome({Verdict.ACCEPTED: 8, Verdict.WRONG_ANSWER: 2}, 0.8)
    assert found.agreement == 0.8
    assert found.agreement_low == pytest.approx(0.4901625, abs=1e-6)
    assert found.agreement_high == pytest.approx(0.9433178, abs=1e-6)


@given(
    st.lists(few_verdicts, max_size=5),
    st.integers(0, 3),
    thresholds,
)
def test_a_decided_tally_is_never_contradicted_and_an_undecided_one_can_be(
    seen: list[Verdict], left: int, threshold: float
) -> None:
    tally = Tally(len(seen) + left, threshold)
    for verdict in seen:
        tally.add(verdict)
    ends = {
        (found.verdict, found.consensus)
        for rest in itertools.product(Verdict, repeat=left)
        for found in [outcome(Counter([*seen, *rest]), threshold)]
    }
    assert tally.decided() == (len(ends) == 1)
    if tally.decided():
        now = outcome(Counter(seen), threshold)
        assert ends == {(now.verdict, now.consensus)}


def test_four_of_five_are_enough_for_a_threshold_of_four_fifths() -> None:
    tally = Tally(5, 0.8)
    decided = []
    for _ in range(4):
        tally.add(Verdict.ACCEPTED)
        decided.append(tally.decided())
    assert decided == [False, False, False, True]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(verdicts | few_verdicts, max_size=7), min_size=1, max_size=25),
    thresholds,
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(1, 3),
)
def test_the_query_says_what_the_plain_words_say(
    executions: list[list[Verdict]], threshold: float, shards: int, chunk_rows: int, places: int
) -> None:
    shards = min(shards, len(executions))
    while -(-len(executions) // -(-len(executions) // shards)) != shards:
        shards -= 1
    with tempfile.TemporaryDirectory() as root:
        candidates = [MadeCandidate(f"T/{n}", e) for n, e in enumerate(executions)]
        environments = [f"e{n}" for n in range(places)]
        run = make_run(Path(root), candidates, shards=shards, environments=environments)
        vote(run, 0, threshold, chunk_rows=chunk_rows)
        rows = votes_of(run)
    assert [row["task_id"] for row in rows] == [made.task_id for made in candidates]
    for row, made in zip(rows, candidates, strict=True):
        expected = outcome(Counter(made.verdicts), threshold)
        for name in ("verdict", "accepted", "consensus", "flaky", "judged", "unjudged"):
            assert row[name] == getattr(expected, name), (name, made.verdicts)
        for name in ("agreement", "agreement_low", "agreement_high"):
            value = getattr(expected, name)
            assert row[name] == (None if value is None else pytest.approx(value, abs=1e-12))
        said = [alone([Verdict(v) for v in made.verdicts[n::places]]) for n in range(places)]
        judged = [verdict for verdict in said if verdict is not None]
        assert row["environments"] == len(judged)
        expected_agreement = len(set(judged)) == 1 if len(judged) > 1 else None
        assert row["environments_agree"] == expected_agreement, made.verdicts


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_votes_do_not_depend_on_the_order_of_rows(generator: random.Random) -> None:
    candidates = [make_candidate(n) for n in range(6)]
    rows = [
        make_row(
            candidate.candidate_id,
            round_,
            verdict=list(Verdict)[(n * 7 + round_ * (n % 3)) % len(Verdict)],
            environment=("py38", "py313")[n % 2],
            error_type=f"Error{round_ % 2}",
            judge=("split", "inline")[round_ % 2],
            wall_s=0.1 * round_,
        )
        for n, candidate in enumerate(candidates)
        for round_ in range(5)
    ]
    found = []
    for shuffled in (rows, generator.sample(rows, len(rows))):
        with tempfile.TemporaryDirectory() as root:
            run = RunDir(Path(root))
            with CandidateWriter(run.candidates(0)) as writer:
                writer.write_shard([(c.candidate_id, n, c) for n, c in enumerate(candidates)])
            store = ShardStore(run, 0, 0, writer="w")
            for row in shuffled:
                store.append(row)
            store.finish()
            vote(run, 0, 0.8)
            found.append(votes_of(run))
    assert found[0] == found[1]


def test_environments_agree_by_their_own_majorities(tmp_path: Path) -> None:
    cases = {
        # round 0 in a, round 0 in b, round 1 in a, ...
        "same": (["accepted"] * 4, True),
        "different": (["accepted", "wrong_answer"] * 2, False),
        "random": (["accepted", "accepted", "accepted", "accepted", "time_limit"], True),
        "tied in b": (["accepted", "accepted", "accepted", "time_limit"], False),
        "one judged": (["accepted", "internal_error"] * 2, None),
        "none judged": (["internal_error"] * 4, None),
    }
    made = [MadeCandidate(name, verdicts) for name, (verdicts, _) in cases.items()]
    run = make_run(tmp_path, made, environments=["a", "b"])
    vote(run, 0, 0.8)
    found = {row["task_id"]: row["environments_agree"] for row in votes_of(run)}
    assert found == {name: agree for name, (_, agree) in cases.items()}


def test_what_a_vote_says_beside_the_verdict(tmp_path: Path) -> None:
    run = make_run(tmp_path, [MadeCandidate("T/0", [], 1)])
    run.result(0, 0).unlink()
    candidate = make_candidate(0, "T/0").candidate_id
    store = ShardStore(run, 0, 0, writer="w")
    lines = [
        ("wrong_answer", "KeyError", "b", 0.1, 10),
        ("wrong_answer", "KeyError", "a", 0.3, 30),
        ("wrong_answer", "KeyError", "a", 0.2, 20),
        ("accepted", None, None, 0.9, 5),
        ("internal_error", None, None, 99.0, 10**9),
    ]
    for round_, (verdict, kind, message, wall_s, peak) in enumerate(lines):
        store.append(
            make_row(
                candidate,
                round_,
                verdict=verdict,
                error_type=kind,
                error_message=message,
                wall_s=wall_s,
                cpu_s=wall_s,
                peak_memory_bytes=peak,
            )
        )
    store.finish()
    vote(run, 0, 0.6)
    [row] = votes_of(run)
    assert row["error_type"] == "KeyError" and row["error_message"] == "a"
    assert row["wall_s"] == pytest.approx(0.25) and row["peak_memory_bytes"] == 30
    assert row["judge"] == "split" and row["unjudged"] == 1
    schema = pq.ParquetFile(run.votes).schema_arrow
    assert schema.equals(VOTES) and schema.metadata == VOTES.metadata


def test_a_shard_without_a_result_leaves_its_candidates_unjudged(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, [MadeCandidate("T/0", ["accepted"]), MadeCandidate("T/1", [])], shards=2
    )
    run.result(0, 1).unlink()
    vote(run, 0, 0.8)
    assert [(row["verdict"], row["judged"]) for row in votes_of(run)] == [
        ("accepted", 1),
        (None, 0),
    ]


def test_votes_of_every_wave_stand_in_the_file_and_a_wave_can_be_voted_on_again(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, [MadeCandidate("T/0", ["accepted"]), MadeCandidate("T/1", [])])
    with CandidateWriter(run.candidates(1)) as writer:
        repaired = make_candidate(9, "T/1").model_copy(update={"generation": 1})
        writer.write_shard([(repaired.candidate_id, 1, repaired)])
    store = ShardStore(run, 1, 0, writer="w")
    store.append(make_row(repaired.candidate_id, wave=1, generation=1))
    store.finish()
    for wave in (1, 0, 1, 0):
        vote(run, wave, 0.8)
    rows = [
        (row["wave"], row["task_id"], row["generation"], row["accepted"]) for row in votes_of(run)
    ]
    assert rows == [(0, "T/0", 0, True), (0, "T/1", 0, False), (1, "T/1", 1, True)]


def test_a_damaged_result_is_named_and_the_old_votes_stay(tmp_path: Path) -> None:
    run = make_run(tmp_path / "it's [odd]", [MadeCandidate("T/0", ["accepted"])])
    vote(run, 0, 0.8)
    before = run.votes.read_bytes()
    run.result(0, 0).write_bytes(b"PAR1 this is no Parquet file PAR1")
    with pytest.raises(StorageError, match="resume"):
        vote(run, 0, 0.8)
    assert run.votes.read_bytes() == before
    assert not [path for path in run.root.iterdir() if path.name.startswith(".")]
