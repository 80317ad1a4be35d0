"""When asking is given up for all: the provider is down, or won't take any question."""

from __future__ import annotations

from dataclasses import dataclass

from hpc_runner.errors import ModelUnavailable
from hpc_runner.refine.trouble import Trouble


@dataclass(frozen=True)
class Patience:
    """How long failures are borne.  Seconds."""

    backoff_s: float = 1.0
    """Before the second try of a question; twice as long before each later one."""
    longest_backoff_s: float = 60.0
    in_a_row: int = 10
    """Failures, of whatever questions, from which on the provider is blamed and not a question."""
    down_s: float = 60.0
    """How long there may be nothing but such failures."""
    throttled_s: float = 900.0
    """The same, when all that the provider says is that it is too much; and the longest wait
    that it may ask for."""


@dataclass
class _Streak:
    """Failures of one kind without anything better in between."""

    count: int = 0
    since: float = 0.0

    def lengthen(self, now: float) -> float:
        """Seconds that it lasts."""
        self.since = now if self.count == 0 else self.since
        self.count += 1
        return now - self.since


class Breaker:
    """Counts failures in a row over all questions.  Once broken, it stays so."""

    def __init__(self, provider: str, patience: Patience) -> None:
        self._provider = provider
        self._patience = patience
        self._down = _Streak()
        self._throttled = _Streak()
        self._refused = 0
        self._answered = 0
        self._broken: str | None = None

    @property
    def blames_the_provider(self) -> bool:
        return self._down.count >= self._patience.in_a_row

    @property
    def broken(self) -> bool:
        return self._broken is not None

    def check(self) -> None:
        """Raises ``ModelUnavailable`` when nothing is asked any more."""
        if self._broken is not None:
            raise ModelUnavailable(self._broken)

    def stop(self, why: str) -> None:
        """The first reason is the one that is told."""
        if self._broken is None:
            self._broken = why

    def answered(self) -> None:
        self._down, self._throttled, self._refused = _Streak(), _Streak(), 0
        self._answered += 1

    def failed(self, now: float, trouble: Trouble) -> None:
        """A request failed transiently."""
        lasts_s = self._down.lengthen(now)
        if self.blames_the_provider and lasts_s >= self._patience.down_s:
            self.stop(
                f"{self._provider} doesn't answer: {self._down.count} requests in a row failed"
                f" within {lasts_s:.0f} s, the last with: {trouble.why}"
            )

    def throttled(self, now: float, trouble: Trouble) -> None:
        """A request was one too many.  So the provider is there."""
        self._down = _Streak()
        lasts_s = self._throttled.lengthen(now)
        wait_s = trouble.retry_after_s or 0.0
        if wait_s > self._patience.throttled_s:
            self.stop(
                f"{self._provider} wants {wait_s:.0f} s to pass before the next request:"
                f" {trouble.why}"
            )
        elif lasts_s >= self._patience.throttled_s:
            self.stop(
                f"{self._provider} has answered nothing for {lasts_s:.0f} s but that it is too"
                f" much: {trouble.why}"
            )

    def refused(self, trouble: Trouble) -> None:
        """A question was refused.  If all of them are, it isn't the questions."""
        self._refused += 1
        if self._answered == 0 and self._refused >= self._patience.in_a_row:
            self.stop(
                f"{self._provider} refuses every question ({self._refused} of {self._refused}),"
                f" the last with: {trouble.why}"
            )
