"""Podman for a user whom nobody has given subordinate ids: then root is all there is inside."""

from __future__ import annotations

import os

import pytest
from agents import calls
from subjects import Unavailable, opened, podman_rootless


def test_a_user_without_subordinate_ids_gets_all_of_the_isolation() -> None:
    try:
        with opened(lambda: podman_rootless(subordinate=False)) as subject:
            assert "no subordinate ids" in subject.reason
            running = subject.start(subject.spec())
            try:
                assert running.level == "full"
                answer = running.run("def f(): return 1\n", calls(([], 1), name="f"))
                assert answer["verdict"] == "accepted", answer
            finally:
                running.agent.close()
    except Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
