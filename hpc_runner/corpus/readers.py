"""Corpora as streams of candidates.

``open_corpus`` looks at the first rows only; the rows are read when the corpus
is iterated, one at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from hpc_runner.config import FORMATS as NAMES
from hpc_runner.config import LimitOverrides, explain
from hpc_runner.corpus import folder as folders
from hpc_runner.corpus.containers import EXPECTED, data_files, raw_rows, readable
from hpc_runner.corpus.formats import FORMATS, detect
from hpc_runner.corpus.rows import Row
from hpc_runner.corpus.tasks import Format, Program, Task, candidate, chosen_field, described
from hpc_runner.errors import ConfigError, CorpusError, RowError
from hpc_runner.model import Candidate, Limits

__all__ = ["Corpus", "Sample", "open_corpus"]

DETECTION_ROWS = 50
NO_OVERRIDES = LimitOverrides()

_SAMPLE_CODE = ("solution", "completion", "code_list", "code", "llm_response")


@dataclass(frozen=True, slots=True)
class Sample:
    """A program and where it stands: row ``file_row`` of ``file``, from 0."""

    file: str
    file_row: int
    candidate: Candidate


def open_corpus(
    paths: Sequence[Path],
    *,
    format: str = "auto",  # noqa: A002 - it is the option's name
    code_field: str | None = None,
    limits: LimitOverrides = NO_OVERRIDES,
) -> Corpus:
    """A corpus, or problems and then the samples for them.

    ``code_field`` names the field that holds the code, of the samples if there
    are any; the format has its own default.  ``limits`` win over the corpus's.
    Raises ``CorpusError`` when a file can't be read, is empty or of no known
    format, and ``ConfigError`` for an impossible limit or an unknown format.
    """
    try:
        limits.apply(Limits())
    except ValidationError as error:
        raise ConfigError(f"limits: {explain(error)}") from error
    if format != "auto" and format not in NAMES:
        raise ConfigError(f"--format {format}: expected auto or one of {', '.join(NAMES)}")
    if not paths:
        raise CorpusError(f"no corpus was given; expected {EXPECTED}")
    files = [data_files(path) for path in paths]
    problems = paths[0]
    if format == "folder" or (format == "auto" and not files[0]):
        _check_folder(paths, code_field)
        return Corpus("folder", tuple(paths), code_field, limits)
    for path, listed in zip(paths, files, strict=True):
        if not listed:
            raise CorpusError(f"{path}: there is no file of rows in it; expected {EXPECTED}")
    rows = _first_rows(problems, files[0])
    name = detect(str(problems), rows) if format == "auto" else format
    for path, listed in zip(paths[1:], files[1:], strict=True):
        _first_rows(path, listed)
    told = code_field or any("code_list" in row for row in rows)
    if len(paths) == 1 and not FORMATS[name].holds_code and not told:
        raise CorpusError(
            f"{problems}: the problems of {name} hold no code; give samples with question_id and"
            f" code_list as well: hpc-runner run {problems} SAMPLES.jsonl"
        )
    return Corpus(name, tuple(paths), code_field, limits)


class Corpus:
    """Iterating reads the files anew each time.  Memory is that of one row, and of
    the problems when there are samples beside them."""

    def __init__(
        self,
        format: str,  # noqa: A002
        paths: tuple[Path, ...],
        code_field: str | None,
        limits: LimitOverrides,
    ) -> None:
        self.format = format
        self.paths = paths
        self._code_field = code_field
        self._limits = limits

    def __iter__(self) -> Iterator[Sample | RowError]:
        """The programs in order, and a ``RowError`` as a value for each bad row.

        Raises ``CorpusError`` when a file turns out to be damaged further on.
        """
        if self.format == "folder":
            return self._folder()
        form = FORMATS[self.format]
        return self._problems(form) if len(self.paths) == 1 else self._joined(form)

    def digest(self) -> bytes:
        """SHA-256 over names (relative to the paths given) and contents of all files."""
        total = hashlib.sha256()
        for path in self.paths:
            for file in self._files(path):
                name = file.name if file == path else file.relative_to(path).as_posix()
                with readable(file), file.open("rb") as stream:
                    content = hashlib.file_digest(stream, "sha256").digest()
                encoded = name.encode("utf-8", "surrogateescape")
                total.update(len(encoded).to_bytes(8, "big") + encoded + content)
        return total.digest()

    def _files(self, path: Path) -> list[Path]:
        if self.format != "folder":
            return data_files(path)
        listed = folders.sources(path)
        beside = [other for source in listed for other in folders.companions(source)]
        return sorted({*listed, *beside})

    def _folder(self) -> Iterator[Sample | RowError]:
        for item in folders.read_folder(self.paths[0]):
            if isinstance(item, RowError):
                yield item
                continue
            file, made = item
            limits = self._limits.apply(made.limits)
            yield Sample(file, 0, made.model_copy(update={"limits": limits}))

    def _problems(self, form: Format) -> Iterator[Sample | RowError]:
        for row in _rows(self.paths[0]):
            if isinstance(row, RowError):
                yield row
                continue
            try:
                task = self._task(form, row)
                programs = form.programs(row, task, self._code_field)
                yield from _samples(row, task, iter(programs))
            except RowError as error:
                yield error

    def _joined(self, form: Format) -> Iterator[Sample | RowError]:
        tasks: dict[str, Task] = {}
        for row in _rows(self.paths[0]):
            if isinstance(row, RowError):
                yield row
                continue
            try:
                task = self._task(form, row)
                if task.task_id in tasks:
                    raise row.bad(form.ids[0], f"the problem {task.task_id!r} was there before")
                tasks[task.task_id] = task
            except RowError as error:
                yield error
        for path in self.paths[1:]:
            for row in _rows(path):
                if isinstance(row, RowError):
                    yield row
                    continue
                try:
                    task = _task_of(form, tasks, row, self.paths[0])
                    yield from _samples(row, task, _sample_programs(row, task, self._code_field))
                except RowError as error:
                    yield error

    def _task(self, form: Format, row: Row) -> Task:
        task = form.task(row)
        limits = self._limits.apply(task.limits)
        return replace(task, limits=limits, description=described(row))


def _samples(row: Row, task: Task, programs: Iterator[Program]) -> Iterator[Sample | RowError]:
    """One bad program of a row doesn't take the others with it."""
    for program in programs:
        try:
            yield Sample(row.file, row.number, candidate(row, task, program))
        except RowError as error:
            yield error


def _task_of(form: Format, tasks: dict[str, Task], row: Row, problems: Path) -> Task:
    ids = dict.fromkeys((*form.ids, "task_id", "question_id", "problem_id"))
    name = row.name(*ids)
    if name not in tasks:
        key = next(key for key in ids if row.fields.get(key) is not None)
        raise row.bad(key, f"the task {name[:80]!r} is not among the {len(tasks)} of {problems}")
    return tasks[name]


def _sample_programs(row: Row, task: Task, code_field: str | None) -> Iterator[Program]:
    """``solution``, ``code`` and each of ``code_list`` are whole programs; ``completion``
    goes on where the prompt ends."""
    key = code_field or next((key for key in _SAMPLE_CODE if row.has(key)), None)
    if key is None:
        found = ", ".join(map(str, row.fields))
        raise row.bad("solution", f"none of {', '.join(_SAMPLE_CODE)} is there; found {found}")
    return chosen_field(row, key)


def _rows(path: Path) -> Iterator[Row | RowError]:
    index = 0
    for file in data_files(path):
        for item in raw_rows(file):
            if isinstance(item, RowError):
                yield item
            else:
                number, fields = item
                yield Row(str(file), number, index, fields)
            index += 1


def _first_rows(path: Path, files: Sequence[Path]) -> list[dict[str, object]]:
    """The rows that can be read among the first ones; raises if there are none."""
    seen = list(islice((item for file in files for item in raw_rows(file)), DETECTION_ROWS))
    rows = [item[1] for item in seen if not isinstance(item, RowError)]
    if rows:
        return rows
    if not seen:
        raise CorpusError(f"{path}: is empty; expected at least one row")
    raise CorpusError(
        f"{path}: none of the first {len(seen)} rows is a JSON object; the first: {seen[0]}"
    )


def _check_folder(paths: Sequence[Path], code_field: str | None) -> None:
    folder = paths[0]
    if not folder.is_dir():
        raise CorpusError(f"{folder}: expected a folder of source files, found a file")
    if len(paths) > 1 or code_field:
        raise CorpusError(f"{folder}: a folder of source files has neither samples nor fields")
    if not folders.sources(folder):
        raise CorpusError(f"{folder}: there is nothing to run in it; expected {EXPECTED}")
