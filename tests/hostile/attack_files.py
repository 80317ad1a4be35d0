"""The attacks as data: one file each in attacks/, with a header that says what is expected.

    # property: verdict cannot be forged
    # tests: add                   a name in STANDARD_TESTS, or the tests as JSON
    # expect: wrong_answer | early_exit
    # limits: {"wall_s": 1}        optional; more than LIMITS
    # env: {"NAME": "value"}       optional; what the candidate is given
    # before: plant_everywhere     optional; the attack that ran just before, in the same slot
    # not claimed: filtered, inline: why     optional; isolation levels, and the inline judge
    # probe: memory_bounded        optional; names of PROBES in hosts.py
    # teeth: passes | gets through optional; what it does to a plain ``python3``

A program whose tests are ``none`` attacks by itself: it ends with the message "got
through: ..." and exit code 1 when something let it, and without an error when all held.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ATTACKS = HERE / "attacks"
HONEST = HERE / "honest"

PROPERTIES = (
    "host unharmed",
    "nothing leaks in",
    "verdict cannot be forged",
    "limits hold",
    "nothing is left",
)
LIMITS = {"wall_s": 3.0}
"""Of every attack that names none: time enough on a busy machine for one that is blocked."""

LOOPBACK_PORT = 28771
"""Where the suite listens on the host's loopback while attacks run."""

_UNITTEST = """\
import unittest


class TestAdd(unittest.TestCase):
    def test_small(self):
        self.assertEqual(add(2, 3), 5)

    def test_zero(self):
        self.assertEqual(add(0, 0), 0)
        self.assertTrue(add(1, 0) == 1)
"""
_CASES = [([2, 3], 5), ([-1, 1], 0), ([10, 20], 30)]
_SECRET = "-".join(["the", "tests", "alone", "hold", "51c9e0d7"])

STANDARD_TESTS: dict[str, dict[str, Any]] = {
    "none": {"kind": "none"},
    "add": {
        "kind": "assertions",
        "code": "def check(candidate):\n"
        + "".join(f"    assert candidate({a}, {b}) == {total}\n" for (a, b), total in _CASES),
        "cases": ["check(add)"],
        "entry_point": "add",
    },
    "add with imports": {
        "kind": "assertions",
        "code": "import decimal, math, random, statistics, string, unittest\n",
        "cases": [
            "assert math.floor(add(2, 3)) == 5",
            "assert statistics.mean([add(1, 1), 4]) == 3",
            "assert decimal.Decimal(add(1, 2)) == decimal.Decimal(3)",
        ],
        "entry_point": "add",
    },
    "add calls": {
        "kind": "calls",
        "entry_point": "add",
        "cases": [{"args": args, "kwargs": {}, "expected": total} for args, total in _CASES],
    },
    "add unittest": {"kind": "unittest", "code": _UNITTEST},
    "sort": {
        "kind": "calls",
        "entry_point": "sort",
        "cases": [
            {"args": [[3, 1, 2]], "kwargs": {}, "expected": [1, 2, 3]},
            {"args": [[5, 4]], "kwargs": {}, "expected": [4, 5]},
        ],
    },
    "root": {
        "kind": "assertions",
        "code": "def check(candidate):\n"
        "    assert abs(candidate(4) - 2) < 1e-6\n"
        "    assert isinstance(candidate(9), float)\n"
        "    assert all(abs(candidate(n * n) - n) < 1e-6 for n in range(1, 10))\n",
        "cases": ["check(root)"],
        "entry_point": "root",
    },
    "sum of two": {
        "kind": "stdio",
        "cases": [
            {"stdin": "2 3\n", "stdout": "5\n"},
            {"stdin": "10 20\n", "stdout": "30\n"},
        ],
    },
    "printed": {"kind": "expected_output", "stdout": "2 3 5 7 11 13\n"},
    "secret": {
        "kind": "assertions",
        "code": f"def check(candidate):\n    assert candidate() == {_SECRET!r}\n",
        "cases": ["check(secret)"],
        "entry_point": "secret",
    },
    "secret calls": {
        "kind": "calls",
        "entry_point": "secret",
        "cases": [{"args": [], "kwargs": {}, "expected": _SECRET}],
    },
    "secret printed": {"kind": "expected_output", "stdout": _SECRET + "\n"},
    "secret unittest": {
        "kind": "unittest",
        "code": "import unittest\n\n\nclass TestSecret(unittest.TestCase):\n"
        f"    def test_it(self):\n        self.assertEqual(secret(), {_SECRET!r})\n",
    },
}


@dataclass(frozen=True)
class Attack:
    """One program and what must come of it.  The honest ones have the same form."""

    name: str
    code: str
    property: str
    tests: dict[str, Any]
    expect: frozenset[str]
    limits: dict[str, Any]
    env: dict[str, str]
    before: str | None
    not_claimed: frozenset[str]
    why: str
    probes: tuple[str, ...]
    teeth: str

    def request(self, identity: int) -> dict[str, Any]:
        """What an agent is asked."""
        return {
            "op": "run",
            "id": identity,
            "code": self.code,
            "tests": full_tests(self.tests),
            "limits": self.limits,
            "env": self.env,
        }

    def row(self) -> dict[str, Any]:
        """A row of a corpus in the native schema."""
        return {
            "task_id": f"hostile/{self.name}" if self.property else f"honest/{self.name}",
            "code": self.code,
            "tests": self.tests,
            "limits": self.limits,
            "env": self.env,
            "metadata": {
                "property": self.property,
                "expect": sorted(self.expect),
                "not_claimed": sorted(self.not_claimed),
            },
        }

    def holds(self, verdict: str) -> bool:
        return verdict in self.expect

    def claimed(self, level: str, judge: str) -> bool:
        """Whether the property is claimed at this isolation and with this judge."""
        return not self.not_claimed & {level, judge}


def full_tests(tests: dict[str, Any]) -> dict[str, Any]:
    """With the defaults that the corpus reader fills in."""
    from hpc_runner.model import tests_adapter

    return tests_adapter.validate_python(tests).model_dump(mode="json")


def read(path: Path) -> Attack:
    """Raises ValueError, with the file's name, when the header isn't as described above."""
    code = path.read_text(encoding="utf-8")
    fields: dict[str, str] = {}
    for line in code.splitlines():
        key, colon, value = line.removeprefix("# ").partition(": ")
        if not line.startswith("# ") or not colon:
            break
        fields[key] = value.strip()
    known = {"property", "tests", "expect", "limits", "env", "before", "not claimed", "probe"}
    known.add("teeth")
    if unknown := fields.keys() - known:
        raise ValueError(f"{path}: unknown keys in the header: {sorted(unknown)}")
    if path.parent == ATTACKS and fields.get("property") not in PROPERTIES:
        raise ValueError(f"{path}: 'property' must be one of {PROPERTIES}")
    tests = fields["tests"]
    where, _, why = fields.get("not claimed", "").partition(": ")
    return Attack(
        name=path.stem,
        code=code,
        property=fields.get("property", ""),
        tests=json.loads(tests) if tests.startswith("{") else STANDARD_TESTS[tests],
        expect=frozenset(part.strip() for part in fields.get("expect", "accepted").split("|")),
        limits={**LIMITS, **json.loads(fields.get("limits", "{}"))},
        env=json.loads(fields.get("env", "{}")),
        before=fields.get("before"),
        not_claimed=frozenset(part.strip() for part in where.split(",") if part.strip()),
        why=why,
        probes=tuple(part.strip() for part in fields.get("probe", "").split(",") if part.strip()),
        teeth=fields.get("teeth", ""),
    )


def attacks() -> list[Attack]:
    return [read(path) for path in sorted(ATTACKS.glob("*.py"))]


def honest() -> list[Attack]:
    return [read(path) for path in sorted(HONEST.glob("*.py"))]


def full_limits(limits: dict[str, Any]) -> dict[str, Any]:
    from hpc_runner.model import Limits

    return Limits.model_validate(limits).model_dump(mode="json")
