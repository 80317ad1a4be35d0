"""Numbers as people read them."""

from __future__ import annotations

__all__ = ["counted", "duration", "percent"]


def counted(count: int, noun: str) -> str:
    """``1 task``, ``1,200 tasks``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent(count: int, total: int) -> str:
    """With one decimal; rounded so that neither 0 nor 100 is shown for what is not quite that."""
    if not total:
        return "-"
    tenths = round(1000 * count / total)
    if 0 < count < total:
        tenths = min(999, max(1, tenths))
    return f"{tenths / 10:.1f} %"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
