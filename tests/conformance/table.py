"""The table at the end: what ran on which runtime, and what didn't and why."""

from __future__ import annotations

from subjects import Book


def render(book: Book) -> list[str]:
    if not book.outcomes:
        return []
    names = list(book.subjects)
    width = max(map(len, book.outcomes))
    lines = ["  ".join([" " * width, *(f"{name:<{_wide(name)}}" for name in names)]).rstrip()]
    for check, cells in book.outcomes.items():
        row = [f"{cells.get(name, '-'):<{_wide(name)}}" for name in names]
        lines.append("  ".join([f"{check.replace('_', ' '):<{width}}", *row]).rstrip())
    lines.append("")
    lines += [f"{name}: {what}" for name, what in book.subjects.items()]
    absent = {name for name, what in book.subjects.items() if what.startswith("not here")}
    lines += [
        f"skipped: {where}: {reason.removeprefix('Skipped: ')}"
        for where, reason in book.reasons.items()
        if where.rpartition(", ")[2] not in absent
    ]
    return lines


def _wide(name: str) -> int:
    return max(len(name), len("skipped"))
