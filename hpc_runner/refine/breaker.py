"""When asking is given up for all: the provider is down, or won't take any question."""

from __future__ import annotations

from dataclasses import dataclass

from hpc_runner.errors import ModelUnavailable
from hpc_runner.refine.trouble import Kind, Trouble


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


class Breaker:
    """Counts failures in a row over all questions.  Once broken, it stays so."""

    def __init__(self, provider: str, patience: Patience) -> None:
        self._provider = provider
        self._patience = patience
        self._row = 0
        self._since = 0.0
        self._refused = 0
        self._answered = 0
        self._broken: str | None = None

    @property
    def blames_the_provider(self) -> bool:
        return self._row >= self._patience.in_a_row

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
        self._row = self._refused = 0
        self._answered += 1

    def failed(self, now: float, trouble: Trouble) -> None:
        """A request was throttled or failed transiently."""
        if self._row == 0:
            self._since = now
        self._row += 1
        throttled = trouble.kind is Kind.THROTTLED
        limit_s = self._patience.throttled_s if throttled else self._patience.down_s
        if throttled and (trouble.retry_after_s or 0.0) > limit_s:
            self.stop(
                f"{self._provider} wants {trouble.retry_after_s:.0f} s to pass before the next"
                f" request: {trouble.why}"
            )
        elif self.blames_the_provider and now - self._since >= limit_s:
            self.stop(
                f"{self._provider} doesn't answer: {self._row} requests in a row failed within"
                f" {now - self._since:.0f} s, the last with: {trouble.why}"
            )

    def refused(self, trouble: Trouble) -> None:
        """A question was refused.  If all of them are, it isn't the questions."""
        self._refused += 1
        if self._answered == 0 and self._refused >= self._patience.in_a_row:
            self.stop(
                f"{self._provider} refuses every question ({self._refused} of {self._refused}),"
                f" the last with: {trouble.why}"
            )
