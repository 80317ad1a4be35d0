"""The table of formats, and telling a corpus's format from the fields of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from hpc_runner.corpus import (
    evalplus,
    formats_contests,
    formats_functions,
    livecodebench,
    native,
)
from hpc_runner.corpus.tasks import Format
from hpc_runner.errors import CorpusError

__all__ = ["FORMATS", "detect"]


def _fields(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(words.split()) for words in alternatives)


_FUNCTION = "task_id prompt entry_point test"
_TASK = ("task_id",)
_PROBLEM = ("problem_id", "task_id", "id")

_ALL = (
    Format(
        "native",
        _fields("task_id code", "task_id tests"),
        frozenset({"test_list", "verification_info", "base_input", "complete_prompt"}),
        _TASK, native.native_task, native.native_programs,
    ),
    Format(
        "humaneval",
        _fields(_FUNCTION),
        frozenset({"buggy_solution", "base_input", "complete_prompt"}),
        _TASK, formats_functions.humaneval_task, formats_functions.humaneval_programs,
    ),
    Format(
        "evalplus",
        _fields("task_id prompt entry_point canonical_solution base_input plus_input"),
        frozenset(),
        _TASK, evalplus.evalplus_task, evalplus.evalplus_programs,
    ),
    Format(
        "humanevalpack",
        _fields(f"{_FUNCTION} declaration buggy_solution"),
        frozenset(),
        _TASK, formats_functions.humanevalpack_task, formats_functions.humanevalpack_programs,
    ),
    Format(
        "mbpp",
        _fields("task_id code test_list"),
        frozenset({"tests"}),
        _TASK, formats_functions.mbpp_task, formats_functions.mbpp_programs,
    ),
    Format(
        "apps",
        _fields("question solutions input_output"),
        frozenset({"time_limit", "memory_limit"}),
        _PROBLEM, formats_contests.apps_task, formats_contests.apps_programs,
    ),
    Format(
        "taco",
        _fields("question solutions input_output time_limit memory_limit"),
        frozenset(),
        _PROBLEM, formats_contests.apps_task, formats_contests.apps_programs,
    ),
    Format(
        "code_contests",
        _fields("name public_tests private_tests solutions"),
        frozenset(),
        ("name", "task_id"),
        formats_contests.code_contests_task, formats_contests.code_contests_programs,
    ),
    Format(
        "livecodebench",
        _fields("question_id public_test_cases private_test_cases"),
        frozenset(),
        ("question_id", "task_id"),
        livecodebench.livecodebench_task, livecodebench.livecodebench_programs,
        holds_code=False,
    ),
    Format(
        "bigcodebench",
        _fields("task_id complete_prompt test entry_point"),
        frozenset(),
        _TASK, formats_functions.bigcodebench_task, formats_functions.bigcodebench_programs,
    ),
    Format(
        "synthetic1",
        _fields("problem_id verification_info"),
        frozenset(),
        ("problem_id", "in_source_id", "task_id"),
        formats_contests.synthetic1_task, formats_contests.synthetic1_programs,
    ),
)  # fmt: skip

FORMATS = {item.name: item for item in _ALL}
"""Every format of rows by name; ``folder``, the one without rows, is read by ``folder.py``."""

_SAMPLE_CODE = frozenset({"completion", "solution", "code_list"})


def detect(where: str, rows: Sequence[dict[str, object]]) -> str:
    """The name of the one format that at least half of ``rows`` may be of.

    Raises ``CorpusError`` when there is none or more than one.
    """
    matches = [item.name for item in _ALL if 2 * sum(_fits(item, row) for row in rows) >= len(rows)]
    if len(matches) == 1:
        return matches[0]
    found = sorted({str(key) for row in rows for key in row})
    seen = ", ".join(found[:40]) or "no fields at all"
    if matches:
        raise CorpusError(
            f"{where}: the fields fit more than one format ({', '.join(matches)});"
            f" say which with --format; found the fields {seen}"
        )
    if _SAMPLE_CODE & set(found) and len(found) <= 6:
        raise CorpusError(
            f"{where}: these look like samples without their problems; give the problems first:"
            f" hpc-runner run PROBLEMS {where}; found the fields {seen}"
        )
    nearest, missing = _nearest(set(found))
    raise CorpusError(
        f"{where}: the format isn't known; found the fields {seen}; expected one of"
        f" {', '.join(FORMATS)}; the nearest is {nearest}, where"
        f" {', '.join(sorted(missing)) or 'nothing'} is missing; say --format if it is one of these"
    )


def _fits(item: Format, row: dict[str, object]) -> bool:
    return not item.without & row.keys() and any(wanted <= row.keys() for wanted in item.fields)


def _nearest(found: set[str]) -> tuple[str, frozenset[str]]:
    options = [
        (len(wanted - found) / len(wanted), -len(wanted & found), item.name, wanted - found)
        for item in _ALL
        for wanted in item.fields
    ]
    _, _, name, missing = min(options, key=lambda option: option[:3])
    return name, missing
