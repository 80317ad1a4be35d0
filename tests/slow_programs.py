"""Programs that are right and take their time."""

from __future__ import annotations

import json
from pathlib import Path


def write_slow_corpus(path: Path, candidates: int, seconds: float) -> Path:
    """A corpus of so many; each of them takes so many seconds."""
    rows = [
        {
            "task_id": f"slow/{n}",
            "code": f"import time\ntime.sleep({seconds})\nprint({n})",
            "tests": {"kind": "stdio", "cases": [{"stdin": "", "stdout": f"{n}\n"}]},
        }
        for n in range(candidates)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
