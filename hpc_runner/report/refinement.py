"""What refinement did, for a person's eyes."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hpc_runner.report.words import counted, percent
from hpc_runner.results.refinements import Refinement

__all__ = ["render_refinement"]


def render_refinement(found: Refinement) -> Iterable[RenderableType]:
    yield Text("Refinement", "bold")
    yield Text(
        f"Of {counted(found.failures, 'failure')}, {found.made:,} were made into something else, "
        f"which {found.accepted:,} times was accepted"
    )
    yield Text(_cost(found))
    yield _strategies(found)
    if found.repairs:
        named = ", ".join(f"{name} {count:,}" for name, count in found.repairs.items())
        yield Text(f"Repairs without a model: {named}")
    if found.reasons:
        named = ", ".join(f"{name} {count:,}" for name, count in found.reasons.items())
        yield Text(f"Given up because of: {named}")
    yield _types(found)


def _cost(found: Refinement) -> str:
    tokens = found.prompt_tokens + found.completion_tokens
    line = f"{counted(found.answers, 'answer')}, {tokens:,} tokens ({found.cached_tokens:,} cached)"
    if found.usd is None:
        return line + ", at a cost that isn't known"
    line += f", ${found.usd:,.2f}"
    if found.usd_per_accepted is not None:
        line += f", ${found.usd_per_accepted:,.4f} for each that was accepted"
    return line


def _strategies(found: Refinement) -> Table:
    table = _table("Strategy", "Tried", "Accepted", "Share", "Answers", "Tokens", "Cost")
    for item in found.strategies:
        cost = "?" if item.usd is None else f"${item.usd:,.2f}"
        counts = (f"{item.tried:,}", f"{item.accepted:,}", percent(item.accepted, item.tried))
        table.add_row(item.name, *counts, f"{item.answers:,}", f"{item.tokens:,}", cost)
    return table


def _types(found: Refinement) -> Table:
    table = _table("Type of failure", "Seen", "Recovered", "Share")
    for item in found.types:
        share = percent(item.recovered, item.failures)
        table.add_row(item.type, f"{item.failures:,}", f"{item.recovered:,}", share)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
