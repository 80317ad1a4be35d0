"""A replayed execution beside the recorded one, for a person's eyes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hpc_runner.replay import Replay
from hpc_runner.results.store import ResultRow

__all__ = ["render_replay"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WIDTH = 34


def render_replay(replay: Replay, *, show_code: bool = False) -> str:
    """Plain text; nothing in it moves a terminal's cursor, whatever the program wrote."""
    return "\n".join(_lines(replay, show_code))


def _lines(replay: Replay, show_code: bool) -> Iterator[str]:
    before, now = replay.recorded, replay.row
    yield (
        f"Candidate {before['candidate_id'].hex()[:12]} of {_printable(before['task_id'])},"
        f" round {before['round']}, {before['environment']}, judged {now['judge']}"
    )
    yield f"Perturbation: {now['perturbation']}"
    if show_code:
        yield from _section("Code", replay.candidate.code)
    yield ""
    yield _row("", "recorded", "now")
    for name, show in _COMPARED.items():
        yield _row(name, show(before), show(now))
    yield from _tests(now)
    several = len(replay.outputs) > 1
    for number, texts in enumerate(replay.outputs):
        of_run = f" of run {number}" if several else ""
        for name, text in zip(("Standard output", "Standard error"), texts, strict=True):
            if text:
                yield from _section(name + of_run, text)
    yield ""
    yield from _differences(before, now)
    yield (
        "The same verdict as recorded."
        if replay.same
        else f"Another verdict than recorded: {now['verdict']} instead of {before['verdict']}."
    )


def _error(row: ResultRow) -> str:
    if row["error_type"] is None:
        return "-"
    return f"{row['error_type']}: {row['error_message']}"


def _output(row: ResultRow, stream: str) -> str:
    return f"{row[f'{stream}_bytes']:,} bytes, {row[f'{stream}_sha256'].hex()[:12]}"


_COMPARED: dict[str, Any] = {
    "verdict": lambda row: row["verdict"],
    "tests passed": lambda row: f"{row['tests_passed']} of {row['tests_total']}",
    "exit code": lambda row: "-" if row["exit_code"] is None else str(row["exit_code"]),
    "signal": lambda row: "-" if row["signal"] is None else str(row["signal"]),
    "wall": lambda row: f"{row['wall_s']:.3f} s",
    "CPU": lambda row: f"{row['cpu_s']:.3f} s",
    "memory": lambda row: f"{row['peak_memory_bytes'] / 2**20:.1f} MiB",
    "stdout": lambda row: _output(row, "stdout"),
    "stderr": lambda row: _output(row, "stderr"),
    "error": _error,
}


def _row(name: str, before: str, now: str) -> str:
    before, now = _printable(before, "\n"), _printable(now, "\n")
    if max(len(before), len(now)) > _WIDTH:
        same = "the same" if before == now else now
        return f"  {name:<14}{before}\n  {'':<14}{same}"
    return f"  {name:<14}{before:<{_WIDTH}}  {now}".rstrip()


def _tests(row: ResultRow) -> Iterator[str]:
    if not row["tests"]:
        return
    yield ""
    yield "Tests"
    for test in row["tests"]:
        line = f"  {test['name']:<14}{test['outcome']:<16}{test['wall_s']:.3f} s"
        yield f"{_printable(line, chr(10))}  {_printable(test['message'], chr(10))}".rstrip()


def _section(head: str, text: str) -> Iterator[str]:
    yield ""
    yield head
    for line in _printable(text.removesuffix("\n")).split("\n"):
        yield f"  | {line}".rstrip()


def _differences(before: ResultRow, now: ResultRow) -> Iterator[str]:
    """What isn't as it was then."""
    for column, what in (
        ("perturbation", "the perturbation"),
        ("isolation", "the isolation"),
        ("mechanisms", "what it is made of"),
        ("python", "the interpreter"),
        ("agent_version", "the agent"),
        ("environment_digest", "the image"),
        ("host", "the node"),
    ):
        if before[column] != now[column]:
            yield f"Not as it was: {what}: {_name(before[column])}, now {_name(now[column])}."


def _name(value: object) -> str:
    return value.hex()[:12] if isinstance(value, bytes) else str(value)


def _printable(text: str, also: str = "") -> str:
    """With other control characters than line ends and tabs escaped, and those of ``also``."""
    text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    for character in also:
        text = text.replace(character, "\\n")
    return text
