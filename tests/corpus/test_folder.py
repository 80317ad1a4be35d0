"""A folder of source files."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import candidates, passes, rejected

from hpc_runner.corpus.readers import Sample, open_corpus
from hpc_runner.errors import CorpusError
from hpc_runner.model import Assertions, ExpectedOutput, NoTests, Stdio, StdioCase, Unittest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "plain.py").write_text("print(1)\n")
    return tmp_path


def test_a_file_is_a_candidate_and_its_path_the_task(folder: Path) -> None:
    (folder / "b.js").write_text("console.log(1)\n")
    (folder / "notes.md").write_text("# no code")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.py").write_text("1")
    (folder / ".hidden.py").write_text("1")
    corpus = open_corpus([folder])
    items = list(corpus)
    assert corpus.format == "folder"
    first, second = candidates(items)
    assert (first.task_id, first.language) == ("b", "javascript")
    assert (second.task_id, second.tests) == ("deep/plain", NoTests())
    assert isinstance(items[1], Sample)
    assert (items[1].file, items[1].file_row) == (str(folder / "deep" / "plain.py"), 0)


def test_files_beside_it_are_stdin_and_stdout(folder: Path) -> None:
    for name, text in (("in", "9\n"), ("out", "9\n"), ("10.in", "b"), ("10.out", "B")):
        (folder / "deep" / f"plain.{name}").write_text(text)
    (folder / "deep" / "plain.2.in").write_text("a")
    (folder / "deep" / "plain.2.out").write_text("A")
    (made,) = candidates(list(open_corpus([folder])))
    assert made.tests == Stdio(
        cases=(
            StdioCase(stdin="9\n", stdout="9\n"),
            StdioCase(stdin="a", stdout="A"),
            StdioCase(stdin="b", stdout="B"),
        )
    )


def test_an_output_alone_is_what_is_expected(folder: Path) -> None:
    (folder / "deep" / "plain.out").write_text("1\n")
    (made,) = candidates(list(open_corpus([folder])))
    assert made.tests == ExpectedOutput(stdout="1\n")


def test_an_input_without_output_is_told(folder: Path) -> None:
    (folder / "deep" / "plain.in").write_text("1\n")
    (error,) = rejected(list(open_corpus([folder])))
    assert (error.key, error.reason) == ("plain.out", "is missing beside plain.in")


def test_assertions_beside_it_are_cases(folder: Path) -> None:
    (folder / "deep" / "plain.py").write_text("def f(x): return x\n")
    test = folder / "deep" / "plain_test.py"
    test.write_text(
        "import math\nbase = 2\nassert f(base) == 2\nbase = 3\n@staticmethod\ndef g():\n"
        "    pass\nassert f(\n    base\n) == 4\n# the end\n"
    )
    (made,) = candidates(list(open_corpus([folder])))
    assert isinstance(made.tests, Assertions)
    assert made.tests.code == "import math\nbase = 2\n"
    assert made.tests.cases[0] == "assert f(base) == 2\n"
    assert passes(made) == [True, False]
    test.write_text(
        "def test_one():\n    assert f(1) == 1\ndef test_two():\n    assert f(1) == 2\n"
    )
    (made,) = candidates(list(open_corpus([folder])))
    assert passes(made) == [True, False]
    text = "import unittest\nclass T(unittest.TestCase):\n    def test(self): ...\n"
    test.write_text(text)
    (made,) = candidates(list(open_corpus([folder])))
    assert made.tests == Unittest(code=text)


@pytest.mark.parametrize("text", ["def f(:\n", "x = 1\n", ""])
def test_a_test_that_tests_nothing_is_told(text: str, folder: Path) -> None:
    (folder / "deep" / "plain_test.py").write_text(text)
    (error,) = rejected(list(open_corpus([folder])))
    assert error.key == "plain_test.py"


def test_bytes_that_are_no_text_are_told_and_the_rest_is_read(folder: Path) -> None:
    (folder / "a.py").write_bytes(b"x = '\xff'\n")
    (folder / "b.py").write_bytes(b"x = 1\0\n")
    (folder / "c.py").write_bytes(b"\n")
    items = list(open_corpus([folder]))
    reasons = [error.reason for error in rejected(items)]
    assert len(items) == 4
    assert ["UTF-8" in reasons[0], "NUL" in reasons[1], "empty" in reasons[2]] == [True] * 3


def test_the_digest_sees_names_contents_and_tests(folder: Path) -> None:
    seen = {open_corpus([folder]).digest()}
    (folder / "deep" / "plain.out").write_text("1\n")
    seen.add(open_corpus([folder]).digest())
    (folder / "deep" / "plain.out").write_text("2\n")
    seen.add(open_corpus([folder]).digest())
    (folder / "deep" / "plain.out").unlink()
    (folder / "deep" / "plain.py").rename(folder / "plain.py")
    seen.add(open_corpus([folder]).digest())
    assert len(seen) == 4


def test_a_folder_with_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nothing to run in it"):
        open_corpus([tmp_path])
    (tmp_path / "a.py").write_text("1")
    with pytest.raises(CorpusError, match="neither samples nor fields"):
        open_corpus([tmp_path], code_field="code")
    (tmp_path / "c.jsonl").write_text("{}")
    with pytest.raises(CorpusError, match="expected a folder"):
        open_corpus([tmp_path / "c.jsonl"], format="folder")
