"""What a worker keeps in mind of its agents."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpc_runner.model import Candidate, Stdio
from hpc_runner.results.candidates import Row
from hpc_runner.sandbox.agenda import Work
from hpc_runner.sandbox.agent import STRETCH
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.toolchains import TOOLCHAINS

__all__ = ["Lane"]

SILENCE_S = 60.0
"""Beyond all that an execution may take: then its agent hangs."""


@dataclass
class Lane:
    """An agent and what it works on."""

    slots: int
    agent: Agent | None = None
    in_flight: dict[int, Work] = field(default_factory=dict)
    heard: float = 0.0  # time.monotonic() of its last answer, or of the first request since

    def silent(self, rows: Sequence[Row]) -> bool:
        """It has said nothing for longer than what it works on can take."""
        if not self.in_flight or time.monotonic() - self.heard < SILENCE_S:
            return False
        longest = max(longest_s(rows[work.index][2]) for work in self.in_flight.values())
        return time.monotonic() - self.heard > SILENCE_S + longest


def longest_s(candidate: Candidate) -> float:
    """Seconds that an execution can take: each run to the end of its stretched limit, and the
    tests a second time when they turn out to need the candidate's own process; and its building."""
    runs = len(candidate.tests.cases) if isinstance(candidate.tests, Stdio) else 2
    building = TOOLCHAINS[candidate.language].limits["wall_s"] if _is_built(candidate) else 0.0
    return STRETCH * (runs * candidate.limits.wall_s + building)


def _is_built(candidate: Candidate) -> bool:
    return candidate.language in TOOLCHAINS
