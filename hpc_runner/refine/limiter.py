"""How fast questions are sent: so many at a time, so many and so many tokens a minute.

Whoever asks waits for a turn, in the order of asking, however long that takes; waiting never
fails.  When the provider says that it is too much, the rate falls at once and climbs again
slowly, as TCP's does.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

SLACK_S = 0.5
"""How late turns may be and still be made up for."""
CUT = 0.7
"""What is left of the rate when the provider has had too much."""
CLIMB = 0.05
"""Of the rate before the cut: what is added to it in a second of answers."""
SLOWEST = 1.0
"""Requests per second: no cut goes below.  What a slower provider wants, it tells by its waits."""
UNTOLD_S = 1.0
"""Waited when the provider doesn't tell for how long; twice as long each time until it answers."""
LONGEST_UNTOLD_S = 60.0
MEASURED_S = 10.0


class Pace:
    """At most ``per_minute`` of something in any minute.  Times are seconds of one clock."""

    def __init__(self, per_minute: float | None) -> None:
        self.ceiling = math.inf if per_minute is None else per_minute / (60 + SLACK_S)
        self.rate = self.ceiling
        self._next = -math.inf

    def wait_s(self, now: float) -> float:
        """Until something may be taken."""
        return max(0.0, self._next - now)

    def take(self, now: float, amount: float = 1.0) -> None:
        """More than a minute's worth may be taken, too: it is waited for afterwards."""
        self._next = max(self._next, now - SLACK_S) + amount / self.rate

    def correct(self, amount: float) -> None:
        """So much more (or less) was taken than was said."""
        self._next += amount / self.rate


class Adaptive(Pace):
    """A pace that learns what the provider takes."""

    def __init__(self, per_minute: float | None) -> None:
        super().__init__(per_minute)
        self._taken: deque[float] = deque()
        self._cut_at = -math.inf
        self._untold_s = UNTOLD_S
        self._climb = 0.0
        self._climbed_at = -math.inf

    def take(self, now: float, amount: float = 1.0) -> None:
        super().take(now, amount)
        self._taken.append(now)
        while self._taken[0] < now - MEASURED_S:
            self._taken.popleft()

    def throttled(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """A request of ``sent_at`` was too much; one from before the last cut tells nothing new."""
        wait_s = self._untold_s if retry_after_s is None else retry_after_s
        self._next = max(self._next, now + wait_s)
        if sent_at < self._cut_at:
            return
        if retry_after_s is None:
            self._untold_s = min(self._untold_s * 2, LONGEST_UNTOLD_S)
        span_s = min(max(now - self._taken[0], 1.0), MEASURED_S) if self._taken else 1.0
        before = min(self.rate, len(self._taken) / span_s)
        self.rate = min(max(before * CUT, SLOWEST), self.ceiling)
        self._climb = max(before, SLOWEST) * CLIMB
        self._cut_at = self._climbed_at = now + wait_s

    def answered(self, now: float) -> None:
        self._untold_s = UNTOLD_S
        if self.rate < self.ceiling:
            passed_s = min(max(now - self._climbed_at, 0.0), 1.0)
            self.rate = min(self.ceiling, self.rate + self._climb * passed_s)
            self._climbed_at = max(now, self._climbed_at)


@dataclass
class Turn:
    """One request's.  When it is neither answered nor throttled, its tokens count as used."""

    sent_at: float
    tokens: float
    limiter: Limiter

    def answered(self, tokens: float) -> None:
        self.limiter.requests.answered(self.limiter.now())
        self.limiter.tokens.correct(tokens - self.tokens)

    def throttled(self, retry_after_s: float | None) -> None:
        self.limiter.requests.throttled(self.limiter.now(), self.sent_at, retry_after_s)
        self.limiter.tokens.correct(-self.tokens)


class Limiter:
    """Turns for requests on one event loop."""

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.requests = Adaptive(requests_per_minute)
        self.tokens = Pace(tokens_per_minute)
        self._places = asyncio.Semaphore(concurrency)
        self._gate = asyncio.Lock()
        self._open = asyncio.Event()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def open_for_good(self) -> None:
        """Whoever waits gets a turn at once, to find out that nothing is asked any more."""
        self._open.set()

    @asynccontextmanager
    async def turn(self, tokens: float) -> AsyncIterator[Turn]:
        """Waits for a place and for the pace.  ``tokens`` is an estimate, corrected afterwards."""
        async with self._places:
            async with self._gate:  # the others wait their turn behind whoever waits for the pace
                while (wait_s := self._wait_s()) > 0 and not self._open.is_set():
                    await self.pause(wait_s)
                now = self.now()
                self.requests.take(now)
                self.tokens.take(now, tokens)
            yield Turn(now, tokens, self)

    async def pause(self, seconds: float) -> None:
        """Sleep, unless the limiter is opened for good."""
        try:
            async with asyncio.timeout(seconds):
                await self._open.wait()
        except TimeoutError:
            pass

    def _wait_s(self) -> float:
        now = self.now()
        return max(self.requests.wait_s(now), self.tokens.wait_s(now))
