"""What a disagreement depends on: known causes are named, chance is not, SQL and Python agree."""

from __future__ import annotations

import math
import random
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results.made_runs import MadeCandidate, make_candidate, make_row, make_run

from hpc_runner.model import Verdict
from hpc_runner.results.reliability import (
    LEVEL,
    Explanation,
    Observation,
    Reliability,
    explain,
    reliability,
)
from hpc_runner.results.store import CandidateWriter, ShardStore
from hpc_runner.results.vote import vote
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.perturbation import MASKS, perturbation, to_text

GOOD, BAD, SLOW = Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.TIME_LIMIT
few = st.sampled_from([GOOD, GOOD, BAD, SLOW])


def rounds_of(places: int, rounds: int) -> list[tuple[str, frozenset[str]]]:
    return [
        (f"e{place}", frozenset(perturbation(0, r)))
        for r in range(rounds)
        for place in range(places)
    ]


@pytest.mark.parametrize("name", MASKS)
def test_each_dimension_is_found_alone_over_a_whole_design(name: str) -> None:
    seen = [Observation(e, d, BAD if name in d else GOOD) for e, d in rounds_of(1, 17)]
    assert explain(seen) == Explanation(name, False)


@pytest.mark.parametrize("name", MASKS)
def test_and_where_half_of_its_values_do_not_matter_over_two(name: str) -> None:
    rounds = rounds_of(1, 34)
    odd = [n for n, (_, d) in enumerate(rounds) if name in d][::2]
    seen = [Observation(e, d, BAD if n in odd else GOOD) for n, (e, d) in enumerate(rounds)]
    assert explain(seen).cause in (name, None)


def test_the_environment_is_found() -> None:
    seen = [Observation(e, d, BAD if e == "e1" else GOOD) for e, d in rounds_of(2, 3)]
    assert explain(seen).cause == "environment"
    assert explain(seen[:4]).cause is None, "four executions may be chance"


def test_what_an_environment_cannot_run_is_no_chance() -> None:
    seen = [Observation("a", frozenset(), GOOD), Observation("b", None, Verdict.RUNTIME_ERROR)]
    assert explain(seen).cause == "environment"


def test_equal_conditions_with_different_verdicts_are_hopeless() -> None:
    seen = [Observation("a", frozenset(), GOOD), Observation("a", frozenset(), BAD)]
    assert explain(seen) == Explanation(None, True)


def test_classes_follow_from_causes() -> None:
    assert reliability(None) is reliability("hash") is Reliability.FLAKY
    assert reliability("load") is reliability("cpus") is Reliability.LOAD_DEPENDENT
    assert reliability("environment") is Reliability.ENVIRONMENT_DEPENDENT


@given(st.permutations(range(17)), st.lists(few, min_size=17, max_size=17))
def test_the_order_of_executions_does_not_matter(order: list[int], verdicts: list[Verdict]) -> None:
    seen = [Observation(e, d, v) for (e, d), v in zip(rounds_of(1, 17), verdicts, strict=True)]
    assert explain(seen) == explain([seen[n] for n in order])


@given(st.integers(2, 17), st.lists(few, min_size=17, max_size=17), few)
def test_hopeless_is_for_good(count: int, verdicts: list[Verdict], last: Verdict) -> None:
    seen = [Observation(e, d, v) for (e, d), v in zip(rounds_of(1, 17), verdicts, strict=True)]
    if explain(seen[:count]).hopeless:
        assert explain(seen) == Explanation(None, True)


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5])
def test_candidates_that_fail_at_random_are_rarely_given_a_cause(p: float) -> None:
    """Also when one looks after every execution, as a worker does."""
    draw = random.Random(7).random
    wrong = count = 0
    for _ in range(1500):
        seen: list[Observation] = []
        for e, d in rounds_of(1, 17):
            seen.append(Observation(e, d, BAD if draw() < p else GOOD))
            if len({item.verdict for item in seen}) > 1:
                found = explain(seen)
                if found.cause or found.hopeless:
                    break
        if len({item.verdict for item in seen}) > 1:
            count += 1
            wrong += found.cause is not None
    assert wrong / count < LEVEL, (wrong, count)


def plain(seen: list[Observation]) -> str | None:
    """The rule in the words of docs/votes.md, by counting."""
    places = {item.environment for item in seen}
    by_place = [{item.verdict for item in seen if item.environment == place} for place in places]
    if len(places) > 1 and all(len(verdicts) == 1 for verdicts in by_place):
        arrangements = math.factorial(len(seen))
        for count in Counter(item.verdict for item in seen).values():
            arrangements //= math.factorial(count)
        if 1 / arrangements <= LEVEL or any(item.perturbed is None for item in seen):
            return "environment"
    tried = [d for d in MASKS if any(item.perturbed and d in item.perturbed for item in seen)]
    fits = []
    for d in tried:
        inside = [item.verdict for item in seen if item.perturbed and d in item.perturbed]
        outside = [item.verdict for item in seen if not (item.perturbed and d in item.perturbed)]
        if len(set(outside)) == 1:
            odd = sum(verdict != outside[0] for verdict in inside)
            fits.append((math.comb(len(inside), odd) / math.comb(len(seen), odd), d))
    fits.sort()
    if not fits or fits[0][0] * len(tried) > LEVEL:
        return None
    return None if len(fits) > 1 and math.isclose(fits[1][0], fits[0][0]) else fits[0][1]


@st.composite
def stories(draw: st.DrawFn) -> list[Verdict]:
    """The verdicts of 34 executions: by a dimension, by the place, or any."""
    kind = draw(st.sampled_from(["dimension", "half", "place", "random", "alike"]))
    name = draw(st.sampled_from(list(MASKS)))
    chosen = draw(st.lists(st.booleans(), min_size=34, max_size=34))
    told = {
        "dimension": lambda e, d, c: name in d,
        "half": lambda e, d, c: name in d and c,
        "place": lambda e, d, c: e == "e1",
        "random": lambda e, d, c: c,
        "alike": lambda e, d, c: False,
    }[kind]
    made = [
        BAD if told(e, d, c) else GOOD for (e, d), c in zip(rounds_of(2, 17), chosen, strict=True)
    ]
    for n in draw(st.lists(st.integers(0, 33), max_size=2)):
        made[n] = draw(st.sampled_from([Verdict.INTERNAL_ERROR, SLOW]))
    return made


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(stories(), min_size=1, max_size=12), st.integers(1, 2), st.integers(1, 17))
def test_the_query_says_what_python_and_the_plain_words_say(
    all_verdicts: list[list[Verdict]], places: int, rounds: int
) -> None:
    with tempfile.TemporaryDirectory() as root:
        run = RunDir(Path(root))
        candidates = [make_candidate(n) for n in range(len(all_verdicts))]
        with CandidateWriter(run.candidates(0)) as writer:
            writer.write_shard([(c.candidate_id, n, c) for n, c in enumerate(candidates)])
        store = ShardStore(run, 0, 0, writer="w")
        for candidate, verdicts in zip(candidates, all_verdicts, strict=True):
            for n, verdict in enumerate(verdicts[: 17 * places]):
                round_, place = divmod(n, places)
                text = to_text(perturbation(0, round_))
                told = {"environment": f"e{place}", "verdict": verdict, "perturbation": text}
                store.append(make_row(candidate.candidate_id, round_, **told))
        store.finish()
        vote(run, 0, 0.8, rounds=rounds)
        rows = pq.ParquetFile(run.votes).read().to_pylist()
    for row, verdicts in zip(rows, all_verdicts, strict=True):
        seen = [
            Observation(e, d, v)
            for (e, d), v in zip(rounds_of(places, 17), verdicts, strict=False)
            if v is not Verdict.INTERNAL_ERROR
        ]
        voted = [v for v in verdicts[: rounds * places] if v is not Verdict.INTERNAL_ERROR]
        assert row["judged"] == len(voted)
        if len(set(voted)) > 1:
            found = explain(seen).cause
            assert (row["cause"], found) == (plain(seen), plain(seen))
            assert row["reliability"] == reliability(found)
        else:
            assert row["cause"] is None
            assert row["reliability"] == ("stable" if voted else "unjudged")


def test_score_and_confidence(tmp_path: Path) -> None:
    half = {"tests_passed": 2, "tests_total": 4}
    made = [
        MadeCandidate("all", ["accepted"] * 3),
        MadeCandidate("half", ["wrong_answer"] * 3, columns=half),
        MadeCandidate("mixed", ["wrong_answer", "accepted"], columns=half),
        MadeCandidate("none", ["runtime_error"], columns={"tests_passed": 0, "tests_total": 0}),
        MadeCandidate("ours", ["internal_error"]),
    ]
    run = make_run(tmp_path, made)
    vote(run, 0, 0.8)
    rows = pq.ParquetFile(run.votes).read().to_pylist()
    found = {r["task_id"]: (r["validation_score"], r["confidence_level"]) for r in rows}
    assert found == {
        "all": (1.0, pytest.approx(15 / 16)),
        "half": (0.5, pytest.approx(15 / 16)),
        "mixed": (0.75, pytest.approx(0.5)),
        "none": (0.0, pytest.approx(3 / 4)),
        "ours": (None, None),
    }
