"""What the tests of the readers share."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hpc_runner.corpus.readers import Sample
from hpc_runner.errors import RowError
from hpc_runner.model import Assertions, Calls, Candidate, Unittest

Rows = Sequence[dict[str, Any]]
Read = Callable[..., list[Sample | RowError]]


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def candidates(items: list[Sample | RowError]) -> list[Candidate]:
    """The candidates of a corpus without a bad row."""
    assert [str(item) for item in items if isinstance(item, RowError)] == []
    return [item.candidate for item in items if isinstance(item, Sample)]


def rejected(items: list[Sample | RowError]) -> list[RowError]:
    return [item for item in items if isinstance(item, RowError)]


def passes(candidate: Candidate) -> list[bool]:
    """Which cases of a trusted candidate pass, run right here without any sandbox."""
    space: dict[str, Any] = {"__name__": "candidate"}
    tests = candidate.tests
    with contextlib.redirect_stdout(io.StringIO()):
        exec(candidate.code, space)  # noqa: S102 - the tests wrote it
        if isinstance(tests, Calls):
            return list(_calls(tests, space))
        if isinstance(tests, Unittest):
            exec(tests.code, space)  # noqa: S102
            return [True]
        assert isinstance(tests, Assertions)
        exec(tests.code, space)  # noqa: S102
        return [_holds(case, space) for case in tests.cases]


def _calls(tests: Calls, space: dict[str, Any]) -> Iterator[bool]:
    owner = space.get("Solution")
    function = getattr(owner(), tests.entry_point) if owner else space[tests.entry_point]
    for case in tests.cases:
        yield function(*case.args) == case.expected


def _holds(case: str, space: dict[str, Any]) -> bool:
    try:
        exec(case, space)  # noqa: S102
    except Exception:
        return False
    return True
