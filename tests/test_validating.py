"""``hpc_runner.validate``: as a reward function uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hpc_runner import Candidate, close_pools, validate
from hpc_runner.errors import ConfigError, CorpusError

HERE: dict[str, Any] = {"runtime": "local", "require_isolation": "limits", "slots": 2, "rounds": 1}


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_pools()


def adds(n: int) -> dict[str, Any]:
    tests = {"kind": "calls", "entry_point": "f", "cases": [{"args": [1], "expected": 2}]}
    return {"code": f"def f(x):\n    return x + {n}\n", "tests": tests}


def test_rewards_come_in_order_and_agents_stay_warm() -> None:
    hosts = set()
    for call in range(4):
        votes = list(validate([adds((n + call) % 2) for n in range(10)], **HERE))
        assert [vote.accepted for vote in votes] == [bool((n + call) % 2) for n in range(10)]
        hosts |= {execution.row["run_id"] for vote in votes for execution in vote.executions}
    assert len(hosts) == 1


def test_candidates_as_objects_and_ids_by_number() -> None:
    one = Candidate(task_id="mine", code="print(1)")
    votes = list(validate([one, {"code": "print(2)"}], **HERE))
    assert [vote.candidate.task_id for vote in votes] == ["mine", "1"]


def test_a_bad_candidate_is_named_when_its_turn_comes() -> None:
    votes = validate([adds(1), {"cod": "x"}], **HERE, ahead=1)
    assert next(votes).accepted
    with pytest.raises(CorpusError, match=r"candidate 1: code: Field required.*cod: Extra"):
        next(votes)
    with pytest.raises(CorpusError, match="candidate 0"):
        next(validate([3], **HERE))  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="rounds"):
        validate([], rounds=0)


def test_several_threads_share_the_agents() -> None:
    answers: dict[int, list[bool]] = {}

    def work(n: int) -> None:
        answers[n] = [vote.accepted for vote in validate([adds(n)] * 5, **HERE)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: [n == 1] * 5 for n in range(4)}


def test_after_closing_it_begins_anew() -> None:
    assert next(validate([adds(1)], **HERE)).accepted
    close_pools()
    close_pools()
    assert next(validate([adds(1)], **HERE)).accepted
