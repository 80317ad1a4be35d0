"""Which candidate of a shard kills its workers: found by halving.

A shard whose workers keep failing is run in portions: first its halves; a
portion that fails is halved again, until it is one candidate, which ran alone
when it failed: that one is a killer, and is never run again.  A portion that
passes is done.  When no portion is left, a last pass writes the result of the
whole shard, killers as unjudged.  k killers among n candidates are found with
at most 2 + k (2 ⌈log2 n⌉ + 1) portions, and every other candidate is judged,
as long as failures come from candidates; one that came by chance costs some
portions more.
"""

from __future__ import annotations

import secrets

from hpc_runner.results.ledger import Rows, Search
from hpc_runner.results.portion import Portion

__all__ = ["begin", "failed", "passed", "portion"]


def begin(rows: int) -> Search:
    """The search in a shard of so many candidates."""
    return Search(name=_name(), todo=_halves((0, rows)))


def portion(search: Search, rows: int) -> Portion:
    """What the shard's next worker may run."""
    if not search.todo:
        return Portion(search.name, 0, rows, whole=True, unjudged=search.killers)
    first, end = search.todo[0]
    return Portion(search.name, first, end)


def passed(search: Search) -> Search:
    """The portion went well."""
    return search.model_copy(
        update={"name": _name(), "todo": search.todo[1:], "passes": search.passes + 1}
    )


def failed(search: Search, reason: str) -> Search:
    """The portion's worker failed."""
    (first, end), *rest = search.todo
    if end - first > 1:
        return search.model_copy(update={"name": _name(), "todo": (*_halves((first, end)), *rest)})
    killers = {**search.killers, first: reason}
    return search.model_copy(update={"name": _name(), "todo": tuple(rest), "killers": killers})


def _halves(rows: Rows) -> tuple[Rows, ...]:
    first, end = rows
    if end - first < 2:
        return (rows,)
    middle = (first + end + 1) // 2
    return (first, middle), (middle, end)


def _name() -> str:
    return secrets.token_hex(4)
