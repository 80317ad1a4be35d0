"""Live progress of a run: one bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpc_runner.report.words import duration
from hpc_runner.results.heartbeat import Heartbeat, read_heartbeats

__all__ = ["Heartbeat", "Progress", "Snapshot", "read_heartbeats"]

_WINDOW_S = 30.0


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at one moment, in executions."""

    done: int
    """Those of earlier sessions and those that early stop left out are among them."""
    total: int
    verdicts: Mapping[str, int] = field(default_factory=dict)
    in_flight: int = 0
    elapsed_s: float = 0.0
    """Since this session began."""

    @classmethod
    def of(cls, heartbeats: Iterable[Heartbeat], total: int, elapsed_s: float) -> Snapshot:
        """The sum of what the workers say.  ``total`` counts executions of all shards, with or
        without a heartbeat; it grows to what the workers planned if that is more."""
        heartbeats = list(heartbeats)
        verdicts: dict[str, int] = {}
        for heartbeat in heartbeats:
            for verdict, count in heartbeat.verdicts.items():
                verdicts[verdict] = verdicts.get(verdict, 0) + count
        return cls(
            done=sum(heartbeat.done for heartbeat in heartbeats),
            total=max(total, sum(heartbeat.planned for heartbeat in heartbeats)),
            verdicts=verdicts,
            in_flight=sum(heartbeat.in_flight for heartbeat in heartbeats),
            elapsed_s=elapsed_s,
        )


class Progress:
    """Shows snapshots as they come.

    On a terminal a bar is redrawn at each update; elsewhere a line is printed
    for the first snapshot, then every ``line_s`` seconds, and for the last one.
    The rate is that of the last 30 seconds; what was done before the first
    snapshot doesn't count for it.  Use it as a context manager: leaving it
    removes the bar, so that what is printed next stands alone.
    """

    def __init__(self, console: Console | None = None, *, line_s: float = 5.0) -> None:
        self._console = console or Console(stderr=True)
        self._line_s = line_s
        self._seen: deque[tuple[float, int]] = deque()
        self._last: Snapshot | None = None
        self._printed: Snapshot | None = None
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._last is not None and self._last is not self._printed:
            self._print(self._last)

    def update(self, snapshot: Snapshot) -> None:
        """Show ``snapshot``; snapshots come in the order of their time."""
        self._last = snapshot
        self._seen.append((snapshot.elapsed_s, snapshot.done))
        while len(self._seen) > 2 and self._seen[1][0] <= snapshot.elapsed_s - _WINDOW_S:
            self._seen.popleft()
        if self._live:
            self._live.update(self._bar(snapshot), refresh=True)
        elif self._printed is None or snapshot.elapsed_s - self._printed.elapsed_s >= self._line_s:
            self._print(snapshot)

    def rate(self) -> float | None:
        """Executions per second; None until it can be told."""
        if len(self._seen) < 2:
            return None
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - begin) if end > begin else None

    def _print(self, snapshot: Snapshot) -> None:
        self._printed = snapshot
        line = f"{self._counts(snapshot)}  {_verdicts(snapshot)}".rstrip()
        self._console.print(Text(line), soft_wrap=True)

    def _counts(self, snapshot: Snapshot) -> str:
        share = snapshot.done / snapshot.total if snapshot.total else 1.0
        line = f"{snapshot.done:,}/{snapshot.total:,} ({int(share * 100)} %)"
        line += f"  {duration(snapshot.elapsed_s)}"
        rate = self.rate()
        if rate is not None:
            line += f"  {rate:,.1f}/s"
        if rate and snapshot.done < snapshot.total:
            line += f"  ETA {duration((snapshot.total - snapshot.done) / rate)}"
        if snapshot.in_flight:
            line += f"  {snapshot.in_flight:,} running"
        return line

    def _bar(self, snapshot: Snapshot) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=max(1, snapshot.total), completed=snapshot.done, width=30),
            Text(self._counts(snapshot)),
        )
        return Group(grid, Text(_verdicts(snapshot)))


def _verdicts(snapshot: Snapshot) -> str:
    ordered = sorted(snapshot.verdicts.items(), key=lambda item: (-item[1], item[0]))
    return "  ".join(f"{name} {count:,}" for name, count in ordered if count)
