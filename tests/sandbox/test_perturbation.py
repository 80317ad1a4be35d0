"""The design of the rounds, and its form as text."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.sandbox.agent import PERTURBATION, check_perturbation
from hpc_runner.sandbox.perturbation import MASKS, ROWS, from_text, perturbation, to_text

DOCUMENT = (Path(__file__).parents[2] / "docs" / "perturbation.md").read_text(encoding="utf-8")
SEEDS = st.integers(0, 2**63 - 1)
ROUNDS = st.integers(0, 999)


def rounds_of(name: str, rounds: int) -> tuple[int, ...]:
    return tuple(r for r in range(rounds) if name in perturbation(0, r))


def test_the_dimensions_are_those_of_the_agent() -> None:
    assert set(MASKS) == set(PERTURBATION)


@given(SEEDS)
def test_the_first_round_is_neutral_and_so_is_the_sixth(seed: int) -> None:
    assert perturbation(seed, 0) == perturbation(seed, 5) == {}


def test_three_rounds_try_everything_but_what_costs_time() -> None:
    assert {name for name in MASKS if rounds_of(name, 3)} == set(MASKS) - {"load"}


def test_five_rounds_tell_all_dimensions_apart() -> None:
    assert len({rounds_of(name, 5) for name in MASKS}) == len(MASKS)


def test_sixteen_rows_are_balanced() -> None:
    assert sorted(ROWS) == [0, *range(16)]
    whole = [r for r in range(len(ROWS)) if r != 5]  # the neutral row comes twice
    for name in MASKS:
        assert len(set(rounds_of(name, 17)) & set(whole)) == 8
    for one, other in itertools.combinations(MASKS, 2):
        assert len(set(rounds_of(one, 17)) & set(rounds_of(other, 17))) == 4


@given(SEEDS, ROUNDS)
def test_what_is_made_is_what_the_agent_takes_and_never_neutral(seed: int, round_: int) -> None:
    made = perturbation(seed, round_)
    assert made == perturbation(seed, round_)
    whole = check_perturbation(dict(made))
    assert {name for name in whole if whole[name] != PERTURBATION[name]} == set(made)


def test_rounds_and_seeds_have_hashes_of_their_own() -> None:
    drawn = [perturbation(seed, r)["hash"] for seed in range(5) for r in (1, 2, 18, 19)]
    assert len(set(drawn)) == len(drawn)


def test_a_round_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="count from 0"):
        perturbation(0, -1)


# ---------------------------------------------------------------------------- as text


@given(SEEDS, ROUNDS)
def test_text_can_be_read_back(seed: int, round_: int) -> None:
    made = perturbation(seed, round_)
    assert from_text(to_text(made)) == made


def test_the_form_of_the_text() -> None:
    assert to_text({}) == "neutral"
    assert to_text({"tz": "EAST-5:45", "hash": 17}) == "hash=17 tz=EAST-5:45"


@pytest.mark.parametrize(
    "text",
    [
        "", "hash", "hash=", "hash=x", "hash=-1", "hash=017", "hash=1  tz=EAST-1", "neutral ",
        "tz=EAST-1 hash=1", "hash=1 hash=1", "moon=full", "tz=Europe/Zurich", "temp=../x",
        "locale=a b",
    ],
)  # fmt: skip
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"perturbation|invalid literal"):
        from_text(text)


# ------------------------------------------------------------------------ documentation


def test_the_documented_table_is_the_design() -> None:
    section = DOCUMENT.split("## Which round perturbs what", 1)[1]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    rounds = [int(re.sub(r"\D", "", cell)) for cell in rows[0][1:]]
    told = {
        row[0].strip(" `"): {r for r, cell in zip(rounds, row[1:], strict=True) if cell.strip()}
        for row in rows[2:]
    }
    assert told == {name: set(rounds_of(name, rounds[-1] + 1)) for name in MASKS}


def test_every_dimension_is_explained() -> None:
    section = DOCUMENT.split("## What can be different", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == list(PERTURBATION)
