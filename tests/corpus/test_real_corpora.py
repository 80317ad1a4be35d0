"""The public corpora that lie beside the checkout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_corpora import candidates, write_jsonl

from hpc_runner.corpus.readers import open_corpus
from hpc_runner.model import Assertions

Find = Callable[[str], Path]


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_humaneval_gives_its_canonical_solutions(shared_data: Find) -> None:
    path = shared_data("HumanEval.jsonl.gz")
    corpus = open_corpus([path])
    made = candidates(list(corpus))
    assert corpus.format == "humaneval"
    assert [item.code for item in made] == [
        row["prompt"] + row["canonical_solution"] for row in rows(path)
    ]


@pytest.mark.parametrize("field", ["canonical_solution", "buggy_solution"])
def test_humanevalpack_python_gives_the_solutions_that_are_asked_for(
    field: str, shared_data: Find
) -> None:
    path = shared_data("humanevalpack_python.jsonl.gz")
    corpus = open_corpus([path], code_field=field)
    made = candidates(list(corpus))
    assert corpus.format == "humanevalpack"
    assert [item.code for item in made] == [row["prompt"] + row[field] for row in rows(path)]
    for item, row in zip(made, rows(path), strict=True):
        assert isinstance(item.tests, Assertions)
        assert item.tests.cases == (f"check({row['entry_point']})",)
        assert item.tests.code + item.tests.cases[0] == row["test"].rstrip()


@pytest.mark.parametrize(
    ("name", "language"), [("js", "javascript"), ("go", "go"), ("rust", "rust"), ("cpp", "cpp")]
)
def test_humanevalpack_in_other_languages(name: str, language: str, shared_data: Find) -> None:
    path = shared_data(f"humanevalpack_{name}.jsonl.gz")
    made = candidates(list(open_corpus([path])))
    assert {item.language for item in made} == {language}
    for item, row in zip(made, rows(path), strict=True):
        assert item.task_id == row["task_id"]
        assert item.code.endswith(row["canonical_solution"])
        assert isinstance(item.tests, Assertions)
        assert item.tests.code.strip().endswith(row["test"].strip())


def test_samples_of_humaneval(shared_data: Find, tmp_path: Path) -> None:
    path = shared_data("HumanEval.jsonl.gz")
    samples = [
        {"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in rows(path)
    ]
    joined = open_corpus([path, write_jsonl(tmp_path / "samples.jsonl", samples)])
    assert candidates(list(joined)) == candidates(list(open_corpus([path])))
