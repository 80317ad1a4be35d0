"""Every attack in every place: the verdict, and then the host and the next candidate."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import attack_files
import hosts
import pytest
from attack_files import Attack

ATTACKS = {attack.name: attack for attack in attack_files.attacks()}
NEIGHBOUR = next(item for item in attack_files.honest() if item.name == "neighbour")
HONEST_S = 2.5
"""An honest candidate takes 50 ms; so much only where the attack before harmed the slot."""
QUICK_S = 2.0
"""For attacks that would have the harness wait for what they left."""
SLACK_BYTES = 512 << 20
"""Beyond the limit: what can be touched between two looks, and the judge's own memory."""


class Place:
    """Keeps one agent warm, and starts another one when an attack has killed it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack = contextlib.ExitStack()
        self._host: hosts.Host | None = None

    def host(self) -> hosts.Host:
        if self._host is None or self._host.agent.dead:
            self.close()
            self._host = self._stack.enter_context(hosts.PLACES[self._name]())
            answer = self._host.run(NEIGHBOUR.request(0))
            assert answer["verdict"] == "accepted", answer
            self._host.remember()
        return self._host

    def close(self) -> None:
        self._stack.close()
        self._host = None


@pytest.fixture(scope="module", params=list(hosts.PLACES))
def place(request: pytest.FixtureRequest, secret: None) -> Iterator[Place]:
    place = Place(request.param)
    try:
        place.host()
        yield place
    except hosts.Unavailable as reason:
        if os.environ.get("CI") == "true" and request.param == "docker":
            pytest.fail(f"no docker where there must be one: {reason}")
        pytest.skip(f"{request.param}: {reason}")
    finally:
        place.close()


@pytest.fixture
def host(place: Place) -> hosts.Host:
    return place.host()


@pytest.fixture(scope="module")
def secret() -> Iterator[None]:
    """A variable in the host's environment that no candidate may see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOSTILE_TESTS_SECRET", "sk-hostile")
        yield


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_attack(host: hosts.Host, name: str, record_property: object) -> None:
    attack = ATTACKS[name]
    if attack.before is not None:
        host.run(ATTACKS[attack.before].request(0))
    peak = 0

    def watch() -> None:
        nonlocal peak
        peak = max(peak, host.memory())

    idle = host.memory()
    bounded = "memory_bounded" in attack.probes
    with hosts.listeners() as reached:
        started = time.monotonic()
        answer = host.run(attack.request(0), watch if bounded else None)
        took_s = time.monotonic() - started
    status = judged(attack, answer, host.level)
    record_property("status", status)  # type: ignore[operator]
    if bounded:
        limit = attack_files.full_limits(attack.limits)["memory_bytes"]
        assert peak - idle <= limit + SLACK_BYTES, f"{(peak - idle) >> 20} MB were in use"
    if "quick" in attack.probes:
        assert took_s < QUICK_S
    if "nobody_came" in attack.probes:
        assert reached == []
    still_well(host)


def judged(attack: Attack, answer: dict[str, object], level: str) -> str:
    """ "held" or "not claimed"; fails when neither."""
    said = f"{answer['verdict']}, {answer['error_type']}: {answer['error_message']}"
    said += f", stderr {str(answer['stderr'])[:300]}"
    if attack.holds(str(answer["verdict"])):
        return "held"
    assert not attack.claimed(level, str(answer["judge"])), f"{said}; expected {attack.expect}"
    assert answer["verdict"] != "internal_error", said
    return "not claimed"


def still_well(host: hosts.Host) -> None:
    """Nothing is left, and the next candidate is judged rightly and in time."""
    assert host.leftovers() == []
    started = time.monotonic()
    answer = host.run(NEIGHBOUR.request(0))
    assert answer["verdict"] == "accepted", answer
    assert time.monotonic() - started < HONEST_S
    assert host.leftovers() == []
