"""Opening, detecting, joining, limits, streaming."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_corpora import Read, candidates, write_jsonl

from hpc_runner.config import FORMATS as NAMES
from hpc_runner.config import LimitOverrides
from hpc_runner.corpus.formats import FORMATS
from hpc_runner.corpus.readers import Corpus, Sample, open_corpus
from hpc_runner.errors import ConfigError, CorpusError, RowError

HUMANEVAL = {"task_id": "a", "prompt": "", "entry_point": "f", "test": ""}
KNOWN: dict[str, str] = {
    "native": "task_id code",
    "humaneval": "task_id prompt entry_point canonical_solution test",
    "evalplus": "task_id prompt entry_point canonical_solution base_input plus_input contract atol"
    " test",
    "humanevalpack": "task_id prompt declaration canonical_solution buggy_solution bug_type"
    " failure_symptoms entry_point test example_test",
    "mbpp": "task_id text code test_list test_setup_code challenge_test_list",
    "apps": "problem_id question solutions input_output difficulty url starter_code",
    "taco": "question solutions starter_code input_output time_limit memory_limit",
    "code_contests": "name description public_tests private_tests generated_tests solutions"
    " incorrect_solutions time_limit memory_limit_bytes input_file output_file",
    "livecodebench": "question_id question_content starter_code public_test_cases"
    " private_test_cases metadata code_list",
    "bigcodebench": "task_id complete_prompt instruct_prompt canonical_solution code_prompt test"
    " entry_point",
    "synthetic1": "problem_id source task_type in_source_id prompt gold_standard_solution"
    " verification_info metadata",
}


def test_the_names_are_those_of_the_configuration() -> None:
    assert (*FORMATS, "folder") == NAMES
    assert set(KNOWN) == set(FORMATS)


@pytest.mark.parametrize("name", KNOWN)
def test_the_fields_tell_the_format(name: str, opened: Callable[..., Corpus]) -> None:
    row = dict.fromkeys(KNOWN[name].split())
    assert opened([{"odd": 1}, row, row]).format == name
    assert opened([row], format="native").format == "native"


def test_an_unknown_format_says_what_was_expected_and_found(
    opened: Callable[..., Corpus],
) -> None:
    with pytest.raises(CorpusError) as caught:
        opened([{"task_id": 1, "prompt": "p", "entry_point": "f", "answer": "x"}])
    text = str(caught.value)
    assert "found the fields answer, entry_point, prompt, task_id" in text
    assert "nearest is humaneval, where test is missing" in text
    assert "corpus.jsonl" in text


def test_two_formats_at_once_ask_for_the_option(opened: Callable[..., Corpus]) -> None:
    row = {**HUMANEVAL, "code": "x"}
    with pytest.raises(CorpusError, match=r"native, humaneval.*--format"):
        opened([row])
    assert opened([row], format="humaneval").format == "humaneval"


def test_samples_alone_ask_for_their_problems(opened: Callable[..., Corpus]) -> None:
    for field in ("completion", "solution"):
        with pytest.raises(CorpusError, match="samples without their problems"):
            opened([{"task_id": "HumanEval/0", field: "x"}])


def test_what_cant_be_opened_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(CorpusError, match="is empty"):
        open_corpus([tmp_path / "empty.jsonl"])
    (tmp_path / "noise.jsonl").write_text("noise\nmore\n")
    with pytest.raises(CorpusError, match=r"none of the first 2 rows is a JSON object.*not JSON"):
        open_corpus([tmp_path / "noise.jsonl"])
    with pytest.raises(CorpusError, match="no such file"):
        open_corpus([tmp_path / "nowhere"])
    with pytest.raises(CorpusError, match="no corpus was given"):
        open_corpus([])
    good = write_jsonl(tmp_path / "c.jsonl", [{"task_id": "a", "code": "1"}])
    with pytest.raises(CorpusError, match="is empty"):
        open_corpus([good, tmp_path / "empty.jsonl"])
    with pytest.raises(ConfigError, match="--format wish: expected auto or one of native"):
        open_corpus([good], format="wish")
    with pytest.raises(ConfigError, match=r"wall_s.*greater than 0"):
        open_corpus([good], limits=LimitOverrides(wall_s=-1))


def test_limits_of_the_command_line_win(read: Read, tmp_path: Path) -> None:
    row = {"task_id": "a", "code": "1", "limits": {"wall_s": 3, "processes": 2}}
    (made,) = candidates(read([row], limits=LimitOverrides(wall_s=7.5)))
    assert (made.limits.wall_s, made.limits.processes) == (7.5, 2)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.py").write_text("1")
    (made,) = candidates(
        list(open_corpus([tmp_path / "folder"], limits=LimitOverrides(wall_s=7.5)))
    )
    assert made.limits.wall_s == 7.5


def test_samples_stand_where_they_were(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"task_id": "a", "code": "1"}\nnoise\n\n{"task_id": "b", "code": "2"}\n')
    corpus = open_corpus([path])
    for _ in range(2):
        first, bad, last = corpus
        assert isinstance(first, Sample) and (first.file, first.file_row) == (str(path), 0)
        assert isinstance(bad, RowError) and (bad.row, bad.key) == (1, "")
        assert isinstance(last, Sample) and last.file_row == 2


def test_bytes_that_are_not_utf8_name_the_field_they_are_in(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(
        b'{"task_id": "a", "code": "x = \xff"}\n{"task_id": "b", "code": "1", "metadata": "\xff"}\n'
    )
    bad, good = open_corpus([path])
    assert isinstance(bad, RowError)
    assert (bad.row, bad.key) == (0, "code")
    assert "not UTF-8 (U+DCFF at character 4)" in bad.reason
    # What nobody reads can hold anything.
    assert isinstance(good, Sample)


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"task_id": "a", "code": "1"}]
    (tmp_path / "other").mkdir()
    first = write_jsonl(tmp_path / "c.jsonl", rows)
    same = write_jsonl(tmp_path / "other" / "c.jsonl", rows)
    renamed = write_jsonl(tmp_path / "d.jsonl", rows)
    digest = open_corpus([first]).digest()
    assert len(digest) == 32
    assert open_corpus([same]).digest() == digest
    assert open_corpus([renamed]).digest() != digest
    assert open_corpus([first, same]).digest() != digest
    write_jsonl(first, [*rows, *rows])
    assert open_corpus([first]).digest() != digest


def test_memory_doesnt_grow_with_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    code = "x = 1  # " + "y" * 20_000 + "\n"
    with path.open("w") as file:
        for i in range(2_000):
            file.write(json.dumps({"task_id": f"t{i}", "code": code}) + "\n")
    assert path.stat().st_size > 40_000_000
    corpus = open_corpus([path])
    tracemalloc.start()
    try:
        count = sum(isinstance(item, Sample) for item in corpus)
        corpus.digest()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2_000
    assert peak < 4_000_000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["a/1", "Python/0", "f", "[]", "{}", "[[1]]", '{"inputs": [], "outputs": []}',
                       "2.0 seconds", "def f(x): return x\n", "```python\nx\n```", "eJwDAAAAAAE="]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["input", "output", "inputs", "outputs", "fn_name", "testtype", "kind",
                         "language", "solution", "test_cases", "type", "seconds", "cases", "code"])
        | st.text(max_size=5),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_row_breaks_a_reader(name: str, data: st.DataObject, tmp_path: Path) -> None:
    fields = KNOWN[name].split()
    if name == "native":
        fields += ["tests", "limits", "prompt", "completion", "language", "env", "dependencies"]
    row = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(fields, JSON)))
    path, samples = tmp_path / "c.jsonl", tmp_path / "s.jsonl"
    write_jsonl(path, [row, row])
    write_jsonl(samples, [{"task_id": "a/1", "completion": data.draw(JSON)}])
    for paths in ([path], [path, samples]):
        try:
            corpus = open_corpus(paths, format=name)
        except CorpusError:
            continue
        for item in corpus:
            assert isinstance(item, Sample | RowError)
            if isinstance(item, Sample):
                item.candidate.code.encode()
                item.candidate.tests.model_dump_json().encode()
                assert len(item.candidate.candidate_id) == 32
