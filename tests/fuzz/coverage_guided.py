"""Decoders under atheris, which finds its way by the branches that an input takes.

    python tests/fuzz/coverage_guided.py NAME [libFuzzer's options]

``run.py`` does this where atheris is installed; it is no dependency of the project.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def plain_data(data: bytes) -> None:
    from hpc_runner.sandbox.agent import pack, unpack

    with contextlib.suppress(ValueError, RecursionError):
        value = unpack(json.loads(data))
        # What was made is plain again, but for objects that only stand for one.
        if b"opaque" not in data:
            assert repr(unpack(pack(value))) == repr(value)


def corpus_line(data: bytes) -> None:
    from hpc_runner.corpus.containers import _parse
    from hpc_runner.errors import RowError

    item = _parse(Path("corpus.jsonl"), 0, data)
    assert isinstance(item, RowError) or isinstance(item[1], dict)


def journal(data: bytes) -> None:
    from hpc_runner.results.journal import check_row, decode_lines

    for row in decode_lines(data + b"\n", Path("journal")):
        check_row(row)


DECODERS: dict[str, Callable[[bytes], None]] = {
    "plain_data": plain_data,
    "corpus_line": corpus_line,
    "journal": journal,
}


def main() -> None:
    import logging

    import atheris  # type: ignore[import-not-found]

    logging.disable(logging.CRITICAL)
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["hpc_runner", "json"]):
        import hpc_runner.corpus.containers
        import hpc_runner.results.journal
        import hpc_runner.sandbox.agent  # noqa: F401
    atheris.Setup([sys.argv[0], *options], DECODERS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
