"""Counts of a service, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter

__all__ = ["Metrics"]

BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Metrics:
    """For one event loop."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()  # path, method, status
        self.verdicts: Counter[str] = Counter()
        self.under_way = 0
        self._seconds: Counter[str] = Counter()
        self._sum: dict[str, float] = {}
        self._buckets: Counter[tuple[str, float]] = Counter()

    def answered(self, path: str, method: str, status: int, seconds: float) -> None:
        self.requests[path, method, status] += 1
        self._seconds[path] += 1
        self._sum[path] = self._sum.get(path, 0.0) + seconds
        for bound in BUCKETS_S:
            if seconds <= bound:
                self._buckets[path, bound] += 1

    def text(self, running: int, waiting: int) -> str:
        """``running``, ``waiting``: executions."""
        lines = [
            *_head("requests_total", "counter", "Requests that were answered."),
            *(
                f'hpc_runner_requests_total{{path="{path}",method="{method}",status="{status}"}}'
                f" {count}"
                for (path, method, status), count in sorted(self.requests.items())
            ),
            *_head("requests_under_way", "gauge", "Requests that are not answered yet."),
            f"hpc_runner_requests_under_way {self.under_way}",
            *_head("request_seconds", "histogram", "How long answers took."),
        ]
        for path, count in sorted(self._seconds.items()):
            name = f'hpc_runner_request_seconds_bucket{{path="{path}",le='
            lines += [f'{name}"{b:g}"}} {self._buckets[path, b]}' for b in BUCKETS_S]
            lines.append(f'{name}"+Inf"}} {count}')
            lines.append(f'hpc_runner_request_seconds_sum{{path="{path}"}} {self._sum[path]:.6f}')
            lines.append(f'hpc_runner_request_seconds_count{{path="{path}"}} {count}')
        lines += _head("verdicts_total", "counter", "Programs by verdict; unjudged: the sandbox's.")
        lines += [
            f'hpc_runner_verdicts_total{{verdict="{verdict}"}} {count}'
            for verdict, count in sorted(self.verdicts.items())
        ]
        lines += _head("executions", "gauge", "Executions of the moment.")
        lines.append(f'hpc_runner_executions{{state="running"}} {running}')
        lines.append(f'hpc_runner_executions{{state="waiting"}} {waiting}')
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP hpc_runner_{name} {words}", f"# TYPE hpc_runner_{name} {kind}"]
