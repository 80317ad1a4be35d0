"""``answers.jsonl``: what models answered in a run, as it came.

An answer is on the disk before it is used, so that whoever goes on after a crash pays for no
question twice.  One process writes at a time (the coordinator has the run's lock); an
unfinished last line was never acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hpc_runner.errors import StorageError
from hpc_runner.refine.refiner import Finish, Question, Reply, Usage
from hpc_runner.results.files import sync_directory

__all__ = ["Answer", "Answers"]


@dataclass(frozen=True)
class Answer:
    """A line of the ledger."""

    key: str
    """Of the question."""
    task_id: str
    strategy: str
    attempt: int
    model: str
    text: str
    finish: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    usd: float | None
    """None: not known."""
    seconds: float
    tries: int
    at: str
    """When it was written: ISO 8601, UTC."""
    error: str | None = None
    """Why the provider will not answer this question; then there is no text."""

    @classmethod
    def of(cls, question: Question, reply: Reply) -> Answer:
        usage = reply.usage
        return cls(
            question.key, question.task_id, question.strategy, question.attempt, reply.model,
            reply.text, reply.finish.value, usage.prompt_tokens, usage.cached_tokens,
            usage.completion_tokens, usage.usd, round(reply.seconds, 3), reply.tries, _now(),
        )  # fmt: skip

    @classmethod
    def refused(cls, question: Question, model: str, error: str) -> Answer:
        return cls(
            question.key, question.task_id, question.strategy, question.attempt, model,
            "", Finish.EMPTY.value, 0, 0, 0, 0.0, 0.0, 0, _now(), error,
        )  # fmt: skip

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def reply(self) -> Reply:
        usage = Usage(self.prompt_tokens, self.cached_tokens, self.completion_tokens, self.usd)
        finish = Finish(self.finish)
        return Reply(self.text, finish, self.model, usage, self.seconds, self.tries)


class Answers:
    """The ledger of one run; where each answer lies is kept in memory, the answers are not."""

    def __init__(self, path: Path) -> None:
        """Raises ``StorageError`` for a file that can't be read."""
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._waiting: list[tuple[Answer, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self.usd = 0.0
        """Of the answers whose cost is known."""
        self.tokens = 0
        self.count = 0
        self.unknown_usd = 0
        """Answers whose cost isn't known."""
        for answer, place, size in self._lines():
            self._note(answer, place, size)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Answer | None:
        """Raises ``StorageError``."""
        if key not in self._places:
            return None
        place, size = self._places[key]
        try:
            with self._path.open("rb") as file:
                file.seek(place)
                return Answer(**json.loads(file.read(size)))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"{self._path}: can't be read: {error}") from error

    async def add(self, answer: Answer) -> None:
        """Return when the answer is on the disk.  Those that wait together share a flush.

        Raises ``StorageError``.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        await written

    async def flush(self) -> None:
        """Return when nothing waits to be written."""
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            lines = [
                json.dumps(asdict(answer), ensure_ascii=True).encode() + b"\n"
                for answer, _ in batch
            ]
            try:
                await asyncio.to_thread(self._append, b"".join(lines))
            except OSError as error:
                failure = StorageError(f"can't write {self._path}: {error.strerror}")
                for _, written in batch:
                    if not written.done():
                        written.set_exception(failure)
                continue
            for (answer, written), line in zip(batch, lines, strict=True):
                self._note(answer, self._end, len(line))
                self._end += len(line)
                if not written.done():
                    written.set_result(None)

    def _append(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            # What a killed process, or a full disk, has left of a line goes away.
            os.ftruncate(handle, self._end)
            os.lseek(handle, self._end, os.SEEK_SET)
            while content:
                content = content[os.write(handle, content) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        if not self._end:
            sync_directory(self._path.parent)

    def _note(self, answer: Answer, place: int, size: int) -> None:
        self._places[answer.key] = (place, size)
        self.count += 1
        self.tokens += answer.tokens
        if answer.usd is None:
            self.unknown_usd += 1
        else:
            self.usd += answer.usd

    def _lines(self) -> Iterator[tuple[Answer, int, int]]:
        try:
            with self._path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    try:
                        answer = Answer(**json.loads(line))
                    except (ValueError, TypeError) as error:
                        raise StorageError(
                            f"{self._path}: byte {self._end} starts no answer ({error}). Remove "
                            "that line: its question is then asked, and paid for, again"
                        ) from error
                    yield answer, self._end, len(line)
                    self._end += len(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"can't read {self._path}: {error.strerror}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
