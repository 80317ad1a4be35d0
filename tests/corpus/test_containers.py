"""Files and directories of rows, whole and damaged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hpc_runner.corpus import containers
from hpc_runner.corpus.containers import data_files, raw_rows
from hpc_runner.errors import CorpusError, RowError

ROWS = [{"task_id": f"t{i}", "code": "x = 'ü'\n"} for i in range(5)]


def lines() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def plain(path: Path) -> Path:
    (path / "c.jsonl").write_bytes(lines())
    return path / "c.jsonl"


def zipped(path: Path) -> Path:
    (path / "c.jsonl.gz").write_bytes(gzip.compress(lines()))
    return path / "c.jsonl.gz"


def zstandard(path: Path) -> Path:
    with pa.output_stream(str(path / "c.jsonl.zst"), compression="zstd") as stream:
        stream.write(lines())
    return path / "c.jsonl.zst"


def array(path: Path) -> Path:
    (path / "c.json").write_text("\ufeff \n" + json.dumps(ROWS, indent=2))
    return path / "c.json"


def zipped_array(path: Path) -> Path:
    (path / "c.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    return path / "c.json.gz"


def lines_called_json(path: Path) -> Path:
    (path / "c.json").write_bytes(lines())
    return path / "c.json"


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path / "c.parquet", row_group_size=2)
    return path / "c.parquet"


def bom_and_blank_lines(path: Path) -> Path:
    (path / "c.jsonl").write_bytes(b"\xef\xbb\xbf" + lines().replace(b"\n", b"\r\n\r\n"))
    return path / "c.jsonl"


@pytest.mark.parametrize(
    "write",
    [
        plain,
        zipped,
        zstandard,
        array,
        zipped_array,
        lines_called_json,
        parquet,
        bom_and_blank_lines,
    ],
)
def test_every_container_holds_the_same_rows(write: Callable[[Path], Path], tmp_path: Path) -> None:
    assert list(raw_rows(write(tmp_path))) == list(enumerate(ROWS))


def test_a_directory_of_parquet_is_read_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("b.parquet", "a.parquet", ".hidden.parquet", "_half.parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "data" / name)
    (tmp_path / "README.md").write_text("a card")
    assert [path.name for path in data_files(tmp_path)] == ["a.parquet", "b.parquet"]


def test_an_array_is_read_element_by_element(tmp_path: Path) -> None:
    rows = [{"text": "[{" * 50_000, "n": i} for i in range(5)]
    (tmp_path / "c.json").write_text(json.dumps([*rows, 7, "x"]))
    *good, number, text = raw_rows(tmp_path / "c.json")
    assert good == list(enumerate(rows))
    assert isinstance(number, RowError) and "found int" in number.reason
    assert isinstance(text, RowError) and text.row == 6


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json}", "not JSON"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": 1', "not JSON"),
    ],
)
def test_a_bad_line_is_told_and_the_rest_is_read(line: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"n": 0}\n' + line + b'\n{"n": 2}\n')
    first, bad, last = raw_rows(path)
    assert (first, last) == ((0, {"n": 0}), (2, {"n": 2}))
    assert isinstance(bad, RowError)
    assert (bad.file, bad.row, bad.key) == (str(path), 1, "")
    assert reason in bad.reason


def test_a_line_past_the_bound_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_ROW_BYTES", 1000)
    path = tmp_path / "c.jsonl"
    path.write_text('{"a": "' + "x" * 5000 + '"}\n{"n": 1}\n')
    bad, good = raw_rows(path)
    assert isinstance(bad, RowError) and "longer than 1000 bytes" in bad.reason
    assert good == (1, {"n": 1})


@pytest.mark.parametrize("write", [zipped, zstandard, zipped_array, parquet, array])
def test_a_cut_file_is_an_error_that_names_it(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(CorpusError, match=path.name):
        list(raw_rows(path))


def test_a_file_that_isnt_what_its_name_says(tmp_path: Path) -> None:
    for name in ("c.parquet", "c.jsonl.gz", "c.jsonl.zst"):
        (tmp_path / name).write_bytes(lines())
        with pytest.raises(CorpusError, match="can't be read as"):
            list(raw_rows(tmp_path / name))


def test_what_is_no_container_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such file.*expected a \.jsonl"):
        data_files(tmp_path / "nothing.jsonl")
    (tmp_path / "c.csv").write_text("a,b")
    with pytest.raises(CorpusError, match=r"unknown kind of file '\.csv'"):
        data_files(tmp_path / "c.csv")


def test_bytes_in_parquet_that_are_not_text_name_their_column(tmp_path: Path) -> None:
    broken = pa.array([b"x = 1", b"\xff\xfe", b"y = 2"]).view(pa.string())
    table = pa.table({"task_id": ["a", "b", "c"], "code": broken})
    pq.write_table(table, tmp_path / "c.parquet")
    first, bad, last = raw_rows(tmp_path / "c.parquet")
    assert isinstance(bad, RowError)
    assert (bad.row, bad.key) == (1, "code")
    assert first == (0, {"task_id": "a", "code": "x = 1"})
    assert last == (2, {"task_id": "c", "code": "y = 2"})
