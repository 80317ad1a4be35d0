"""Rounds that differ on purpose: what each round changes around a program.

A correct program doesn't depend on any of it.  Round 0 is neutral.  Each later
round perturbs about half of the dimensions, by rows of a balanced two-level
design: dimension d is perturbed in row r when ``MASKS[d] & r`` has an odd number
of bits.  Masks are distinct, so over rows 1, 2, 4 and 8, which come first, no two
dimensions are perturbed in the same rounds; over all sixteen rows each is
perturbed in half of them, and any two are together in a quarter of them.

A perturbation says only what isn't neutral: name → value, with the names of
``agent.PERTURBATION``.  docs/perturbation.md tells what each one does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache

from hpc_runner.sandbox.agent import PERTURBATION, check_perturbation

__all__ = [
    "MASKS",
    "NEUTRAL",
    "ROWS",
    "Perturbation",
    "from_text",
    "perturbation",
    "perturbed",
    "to_text",
]

Perturbation = Mapping[str, int | str]
"""Dimension → value; what is neutral isn't in it."""

NEUTRAL = "neutral"

ROWS = (0, 1, 2, 4, 8, 0, 15, 3, 5, 6, 9, 10, 12, 7, 11, 13, 14)
"""The row of each round, from the start again after the last.  The fifth round completes a set
that tells all dimensions apart; the sixth repeats the neutral one, which tells what depends on a
dimension from what depends on nothing."""

MASKS = {
    "hash": 0b0011,
    "tz": 0b0111,
    "locale": 0b1011,
    "temp": 0b0001,
    "env": 0b1010,
    "memory": 0b0010,
    "threads": 0b0110,
    "cpus": 0b0101,
    "clock": 0b1001,
    "load": 0b0100,
}
"""All but the load, which costs time, are perturbed in round 1 or 2, so that the usual three
rounds try them."""

_ZONES = ("EAST-13:45", "WEST+11:30", "EAST-5:45", "WEST+9:30", "EAST-9", "WEST+3:30", "EAST-12")
"""In a form that needs no files; far enough apart that neighbours rarely agree on the date."""
_LOCALES = ("tr_TR.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8")
_ALWAYS = "C.UTF-8,C.utf8"
_DAY_S = 86_400


@lru_cache(maxsize=1024)
def perturbation(seed: int, round_: int) -> Perturbation:
    """What round ``round_`` of a run with this seed perturbs, the same for every candidate and
    environment.  Pure.  The agent leaves out what can't be done where it is, and says so."""
    if round_ < 0:
        raise ValueError(f"rounds count from 0 (found {round_})")
    return {
        name: make(_number(seed, round_, name), round_)
        for name, make in _VALUES.items()
        if name in perturbed(round_)
    }


@lru_cache(maxsize=1024)
def perturbed(round_: int) -> frozenset[str]:
    """The dimensions that aren't neutral in a round, where all can be perturbed."""
    row = ROWS[round_ % len(ROWS)]
    return frozenset(name for name, mask in MASKS.items() if (mask & row).bit_count() % 2)


def to_text(made: Perturbation) -> str:
    """``"hash=17 tz=EAST-5:45"``: the form that results record; ``"neutral"`` for none."""
    return " ".join(f"{name}={made[name]}" for name in PERTURBATION if name in made) or NEUTRAL


def from_text(text: str) -> Perturbation:
    """The inverse of ``to_text``.  Raises ValueError for what it could not have made."""
    made: dict[str, int | str] = {}
    for item in text.split(" ") if text != NEUTRAL else ():
        name, equals, value = item.partition("=")
        if not equals or name not in PERTURBATION or name in made:
            raise ValueError(f"not a perturbation: {text[:100]!r}")
        made[name] = int(value) if isinstance(PERTURBATION[name], int) else value
    check_perturbation(dict(made))
    if to_text(made) != text:
        raise ValueError(f"not a perturbation: {text[:100]!r}")
    return made


def _number(seed: int, round_: int, name: str) -> int:
    """From 1 to 2**31 - 1, as if drawn."""
    digest = hashlib.sha256(f"{seed}/{round_}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 0x7FFFFFFE + 1


_VALUES: Mapping[str, Callable[[int, int], int | str]] = {
    "hash": lambda number, _: number,
    "tz": lambda _, round_: _ZONES[round_ % len(_ZONES)],
    "locale": lambda _, round_: ",".join((*_rotated(_LOCALES, round_), _ALWAYS)),
    "temp": lambda number, _: f"{number:08x}" * 4 if number % 2 else f"{number:x}"[-2:],
    "env": lambda number, _: number,
    "memory": lambda number, _: number,
    "threads": lambda number, _: 100,
    "cpus": lambda number, _: 1,
    "clock": lambda number, _: (1 + number % 400) * _DAY_S,
    "load": lambda number, _: 1,
}


def _rotated(names: tuple[str, ...], by: int) -> tuple[str, ...]:
    at = by % len(names)
    return names[at:] + names[:at]
