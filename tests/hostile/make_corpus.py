"""Writes corpus.jsonl from the attack files: ``python tests/hostile/make_corpus.py``.

The attacks in the native schema, in the order of their names, with honest candidates
between them: one after every third attack.  ``metadata`` says what is expected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attack_files import HERE, attacks, honest

CORPUS = HERE / "corpus.jsonl"
EVERY = 3


def rows() -> Iterator[dict[str, Any]]:
    good = honest()
    for count, attack in enumerate(attacks()):
        yield attack.row()
        if count % EVERY == EVERY - 1:
            which, again = count // EVERY % len(good), count // EVERY // len(good)
            row = good[which].row()
            # Another comment makes it another candidate, which no planner merges with the first.
            yield {
                **row,
                "task_id": f"{row['task_id']}/{again}",
                "code": f"{row['code']}# {again}\n",
            }


def text() -> str:
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows())


if __name__ == "__main__":
    CORPUS.write_text(text(), encoding="ascii")
    print(f"{CORPUS}: {len(text().splitlines())} rows")
