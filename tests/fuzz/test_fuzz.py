"""Every fuzz target for about a second; ``make fuzz`` tries them for as long as one likes."""

from __future__ import annotations

import os

import pytest
import targets_agent
import targets_data
from fuzzing import Target, try_examples
from small_rows import ROWS

from hpc_runner.corpus.formats import FORMATS

TARGETS = [*targets_data.TARGETS, *targets_agent.TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_promise_holds_for_whatever_comes(target: Target) -> None:
    try_examples(target, target.examples, derandomize="CI" in os.environ)


def test_every_format_is_fuzzed() -> None:
    assert set(ROWS) == set(FORMATS)
