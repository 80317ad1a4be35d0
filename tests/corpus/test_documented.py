"""docs/corpus.md says what the readers do."""

from __future__ import annotations

import re
from pathlib import Path

from small_corpora import candidates, passes

from hpc_runner.config import FORMATS
from hpc_runner.corpus.native import KEYS
from hpc_runner.corpus.readers import open_corpus
from hpc_runner.model import Assertions, Calls, Limits, NoTests

TEXT = (Path(__file__).parents[2] / "docs" / "corpus.md").read_text()


def test_every_format_key_and_limit_is_documented() -> None:
    for name in (*FORMATS, *KEYS, *Limits.model_fields):
        assert f"`{name}`" in TEXT


def test_the_examples_of_the_native_format_are_read(tmp_path: Path) -> None:
    found = re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    (tmp_path / "c.jsonl").write_text(found.group(1))
    corpus = open_corpus([tmp_path / "c.jsonl"])
    made = candidates(list(corpus))
    assert corpus.format == "native"
    assert len({item.tests.kind for item in made}) == len(made) == 6
    assert made[-1].tests == NoTests()
    for item in made:
        compile(item.code, item.task_id, "exec")
        if isinstance(item.tests, Assertions | Calls):
            assert all(passes(item))
