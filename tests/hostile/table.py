"""Runs every attack in every place and prints what held: ``make hostile``.

Exit code 0 when nothing is BROKEN.  Arguments are pytest's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WORDS = {"held": "held", "not claimed": "not claimed", "broken": "BROKEN", "skipped": "-"}


class Table:
    """A plugin that collects a word for each attack and place."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.reasons: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("[")[2].rstrip("]")
        place = next((p for p in PLACES if name.startswith(p + "-")), None)
        if place is None or "test_attack[" not in report.nodeid:
            return
        row = self.rows.setdefault(name.removeprefix(place + "-"), {})
        if report.failed:
            row[place] = WORDS["broken"]
        elif report.skipped:
            row[place] = WORDS["skipped"]
            if isinstance(report.longrepr, tuple):
                self.reasons[place] = str(report.longrepr[2])
        elif report.when == "call":
            row[place] = WORDS[str(dict(report.user_properties).get("status", "held"))]

    def show(self) -> str:
        from attack_files import attacks

        properties = {attack.name: attack.property for attack in attacks()}
        width = max(map(len, self.rows), default=10)
        lines = [f"{'attack':{width}}  {'property':24}  " + "  ".join(f"{p:11}" for p in PLACES)]
        for name in sorted(self.rows, key=lambda n: (properties[n], n)):
            words = "  ".join(f"{self.rows[name].get(place, '-'):11}" for place in PLACES)
            lines.append(f"{name:{width}}  {properties[name]:24}  {words}".rstrip())
        for place in PLACES:
            found = [row.get(place, "-") for row in self.rows.values()]
            counts = ", ".join(
                f"{found.count(word)} {word}" for word in WORDS.values() if word in found
            )
            lines.append(
                f"{place}: {counts}{' (' + r + ')' if (r := self.reasons.get(place)) else ''}"
            )
        return "\n".join(lines)


PLACES = ("local-root", "local-user", "docker", "filtered")


def main() -> int:
    table = Table()
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", str(HERE / "test_attacks.py")]
    status = pytest.main([*options, *sys.argv[1:]], plugins=[table])
    print(table.show())
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
