"""hpc_runner's own format: the fields of ``model.Candidate`` as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpc_runner.corpus.languages import LANGUAGES, canonical
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import Program, Task, chosen_field, validated
from hpc_runner.model import Candidate

_PLAIN = ("tests", "limits", "dependencies", "env")
KEYS = frozenset(
    ("task_id", "code", "prompt", "completion", "language", "entry_point", "metadata", *_PLAIN)
)


def native_task(row: Row) -> Task:
    """``tests``, ``limits``, ``dependencies`` and ``env`` may be strings of JSON, for Parquet.

    A key that isn't known is refused: a misspelt ``tests`` must not pass as "no tests".
    """
    unknown = sorted(set(row.fields) - KEYS)
    if unknown:
        raise row.bad(
            unknown[0], f"unknown key; known are {', '.join(sorted(KEYS))} (metadata is ignored)"
        )
    language = canonical(row.text_or("language", "python"))
    if language is None:
        known = ", ".join(item.name for item in LANGUAGES)
        raise row.bad("language", f"found {row.text('language')[:60]!r}; known are {known}")
    given: dict[str, Any] = {key: row.data(key, check=True) for key in _PLAIN if row.has(key)}
    with validated(row):
        made = Candidate(task_id=row.name("task_id"), code="", language=language, **given)
    return Task(
        made.task_id,
        made.tests,
        language,
        made.limits,
        row.text_or("prompt"),
        row.text_or("entry_point") or getattr(made.tests, "entry_point", None),
        dependencies=made.dependencies,
        env=made.env,
    )


def native_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """``code``, or else ``completion`` after ``prompt``."""
    if code_field is None and row.has("code", "completion"):
        raise row.bad("completion", "there is code as well; give one of the two")
    default = "completion" if row.has("completion") else "code"
    yield from chosen_field(row, code_field or default)
