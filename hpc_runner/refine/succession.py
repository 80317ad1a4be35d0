"""Which model is asked now: the one that was wanted, or what followed it."""

from __future__ import annotations

from collections.abc import Callable

from hpc_runner.refine.breaker import Breaker
from hpc_runner.refine.models import Route
from hpc_runner.refine.trouble import Trouble


class Succession:
    """``strict``: no other model is taken.  ``say`` is told when one is."""

    def __init__(
        self, route: Route, *, strict: bool, breaker: Breaker, say: Callable[[str], None]
    ) -> None:
        self.route = route
        self._strict = strict
        self._breaker = breaker
        self._say = say

    def retire(self, route: Route, trouble: Trouble) -> None:
        """``route`` is gone.  Only the first one that finds out changes anything."""
        if route != self.route:
            return
        following = route.successor()
        if self._strict or following is None:
            why = "strict_model is set" if self._strict else "no successor is known"
            self._breaker.stop(f"{route} is gone ({trouble.why}), and {why}: choose with --model")
            return
        self._say(f"{route} is gone ({trouble.why}): {following} is asked from now on")
        self.route = following
