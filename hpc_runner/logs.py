"""Events as JSON lines in files, and as plain lines on the terminal.

    LOGS/combined.log   every event
    LOGS/error.log      errors alone
    LOGS/http.log       requests of `hpc-runner serve` alone

A file that has grown to ``MOST_BYTES`` becomes ``combined.log.1`` and so on, of which ``KEPT``
stay.  An event has a category, a level, a message and identifiers (run, wave, candidate...).
Nobody gives it a program's text, what a program printed, or a key; docs/logs.md has the table.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

from hpc_runner.errors import ConfigError, StorageError

__all__ = ["CATEGORIES", "LEVELS", "Category", "event", "open_logs", "to_terminal"]

Category = Literal["execution", "refinement", "validation", "mcp", "cache", "security", "http"]
CATEGORIES: tuple[Category, ...] = (
    "execution", "refinement", "validation", "mcp", "cache", "security", "http",
)  # fmt: skip
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
MOST_BYTES = 10 << 20
KEPT = 5
MESSAGE_CHARS = 1000

_handlers: list[logging.Handler] = []
"""Of this module alone: what other packages do to the loggers of a process is nothing to events."""


def event(category: Category, message: str, *, level: str = "info", **about: Any) -> None:
    """Note that something happened.  ``about``: identifiers and figures, as JSON can have them;
    those that are None are left out.  Costs next to nothing where nobody listens."""
    number = LEVELS[level]
    wanting = [handler for handler in _handlers if number >= handler.level]
    if not wanting:
        return
    record = logging.LogRecord(
        "hpc_runner", number, __file__, 0, message[:MESSAGE_CHARS], None, None
    )
    record.category = category
    record.about = {name: value for name, value in about.items() if value is not None}
    for handler in wanting:
        handler.handle(record)


@contextmanager
def open_logs(directory: Path, level: str = "info") -> Iterator[None]:
    """Write the events of this process to ``directory`` for the length of the block, from
    ``level`` on.  One process writes to a directory at a time.  Raises ``ConfigError`` for a
    level that there isn't, ``StorageError``."""
    least = _number(level)
    handlers: list[logging.Handler] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("combined", "error", "http"):
            handlers.append(
                RotatingFileHandler(
                    directory / f"{name}.log",
                    maxBytes=MOST_BYTES,
                    backupCount=KEPT,
                    encoding="utf-8",
                    errors="backslashreplace",
                    delay=True,
                )
            )
    except OSError as error:
        raise StorageError(f"can't write logs in {directory}: {error.strerror}") from error
    combined, errors, http = handlers
    combined.setLevel(least)
    errors.setLevel(logging.ERROR)
    http.setLevel(least)
    http.addFilter(lambda record: getattr(record, "category", "") == "http")
    for handler in handlers:
        handler.setFormatter(_AsJson())
        _handlers.append(handler)
    try:
        yield
    finally:
        for handler in handlers:
            _handlers.remove(handler)
            handler.close()


def to_terminal(level: str) -> None:
    """Print the events of this process, from ``level`` on, to stderr.  Raises ``ConfigError``."""
    handler = logging.StreamHandler()
    handler.setLevel(_number(level))
    handler.setFormatter(_AsText())
    _handlers.append(handler)


def _number(level: str) -> int:
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r} is not known; there are {', '.join(LEVELS)}")
    return LEVELS[level]


class _AsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "category": getattr(record, "category", "execution"),
            "message": record.getMessage(),
            **getattr(record, "about", {}),
        }
        return json.dumps(content, default=str)


class _AsText(logging.Formatter):
    """One line, that moves no cursor, whatever stands in it."""

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={value}" for name, value in getattr(record, "about", {}).items())
        when = datetime.fromtimestamp(record.created).astimezone()
        words = f"{record.getMessage()} {about}".rstrip()
        line = f"{when:%H:%M:%S} {record.levelname.lower()} {getattr(record, 'category', '')}: "
        return line + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in words)
