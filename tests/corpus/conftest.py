"""Small corpora for the tests of the readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_corpora import Read, Rows, write_jsonl

from hpc_runner.corpus.readers import Corpus, Sample, open_corpus
from hpc_runner.errors import RowError


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """``read(rows, samples, format=..., code_field=...)``: all that the corpus yields."""

    def call(rows: Rows, samples: Rows | None = None, **options: Any) -> list[Sample | RowError]:
        paths = [write_jsonl(tmp_path / "corpus.jsonl", rows)]
        if samples is not None:
            paths.append(write_jsonl(tmp_path / "samples.jsonl", samples))
        return list(open_corpus(paths, **options))

    return call


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Corpus]:
    def call(rows: Rows, **options: Any) -> Corpus:
        return open_corpus([write_jsonl(tmp_path / "corpus.jsonl", rows)], **options)

    return call
