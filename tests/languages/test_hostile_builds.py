"""What attacks its compiler, or the tests that it is compiled with, passes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_builds import ATTACKS

from hpc_runner.model import Assertions, Candidate, Limits, NoTests
from hpc_runner.warm import WarmPool


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_is_no_pass(name: str, pool: WarmPool, available: Callable[[str], None]) -> None:
    attack = ATTACKS[name]
    available(attack.language)
    tests = NoTests() if attack.tests is None else Assertions(code=attack.tests, cases=("all",))
    limits = Limits(wall_s=5.0)
    candidate = Candidate(
        task_id="T", code=attack.code, language=attack.language, tests=tests, limits=limits
    )
    row = pool.execute_sync(candidate).row
    assert row["verdict"] in attack.right, (row["error_type"], row["error_message"])
    assert "root:" not in row["stdout_tail"] + row["stderr_tail"]
