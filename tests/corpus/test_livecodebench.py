"""LiveCodeBench, and its packed tests, which are never unpickled."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpora import Read, candidates, passes, rejected

from hpc_runner.corpus import livecodebench
from hpc_runner.corpus.livecodebench import packed_text
from hpc_runner.errors import CorpusError, RowError
from hpc_runner.model import Calls, Case, Stdio


def pack(pickled: bytes) -> str:
    return base64.b64encode(zlib.compress(pickled)).decode()


def case(given: str, wanted: str, kind: str = "stdin") -> dict[str, str]:
    return {"input": given, "output": wanted, "testtype": kind}


PRIVATE = json.dumps([case("3 4\n", "7\n")])
ROW: dict[str, Any] = {
    "question_id": "1873_A",
    "question_content": "Add.",
    "starter_code": "",
    "public_test_cases": json.dumps([case("1 2\n", "3\n")]),
    "private_test_cases": PRIVATE,
    "metadata": "{}",
}
SAMPLE = {"question_id": "1873_A", "code_list": ["print(3)", "```python\nprint(7)\n```"]}


def first_error(read: Read, change: dict[str, Any]) -> RowError:
    """What is wrong with the problem; the sample then lacks its task, too."""
    error, sample = rejected(read([{**ROW, **change}], [SAMPLE]))
    assert sample.key == "question_id"
    return error


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_packed_and_plain_tests_are_the_same(protocol: int, read: Read) -> None:
    packed = pack(pickle.dumps(PRIVATE, protocol))
    plain = candidates(read([ROW], [SAMPLE]))
    same = candidates(read([{**ROW, "private_test_cases": packed}], [SAMPLE]))
    assert plain == same
    assert [made.code.endswith(f"print({n})\n") for made, n in zip(plain[1:], [7], strict=True)]
    assert isinstance(plain[0].tests, Stdio)
    assert [item.stdin for item in plain[0].tests.cases] == ["1 2\n", "3 4\n"]


@given(st.text(), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_every_string_comes_back(text: str, protocol: int) -> None:
    assert packed_text(pack(pickle.dumps(text, protocol))) == text


class Attack:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_run(protocol: int, tmp_path: Path, read: Read) -> None:
    made = tmp_path / "made by the pickle"
    attack = pickle.dumps(Attack(made), protocol)
    error = first_error(read, {"private_test_cases": pack(attack)})
    assert error.key == "private_test_cases"
    assert "is refused" in error.reason
    assert not made.exists()
    pickle.loads(attack)  # noqa: S301 - proves that the attack would have worked
    assert made.exists()


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        ("no base64!", "not base64"),
        (base64.b64encode(b"no zlib").decode(), "not zlib"),
        (base64.b64encode(zlib.compress(b"x" * 1000)[:-9]).decode(), "ends too early"),
        (pack(pickle.dumps(["a", "b"])), "is refused"),
        (pack(pickle.dumps(5)), "is refused"),
        (pack(b"\x80\x04."), "without a string"),
        (pack(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), ""),
        (pack(b"\x80\x04X\x04\x00\x00\x00abc"), ""),
        (pack(b"\x80\x04r\xff\xff\xff\xff."), "without a string"),
        (pack(pickle.dumps("not JSON")), "not JSON"),
    ],
)
def test_what_is_no_packed_string_is_a_bad_row(packed: str, reason: str, read: Read) -> None:
    error = first_error(read, {"private_test_cases": packed})
    assert error.key == "private_test_cases"
    assert reason in error.reason


def test_unpacking_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livecodebench, "MAX_UNPACKED_BYTES", 1 << 16)
    assert len(packed_text(pack(pickle.dumps("x" * 60_000)))) == 60_000
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        packed_text(pack(pickle.dumps("x" * 100_000)))


def test_functional_tests_have_an_argument_per_line(read: Read) -> None:
    row = {
        **ROW,
        "public_test_cases": json.dumps([case('[1, 2]\n"a"', "[3]", "functional")]),
        "private_test_cases": "[]",
        "metadata": json.dumps({"func_name": "add"}),
    }
    code = "class Solution:\n    def add(self, xs: List[int], s: str) -> List: return [3]"
    (made,) = candidates(read([row], [{"question_id": "1873_A", "code_list": [code]}]))
    assert made.tests == Calls(entry_point="add", cases=(Case(args=([1, 2], "a"), expected=[3]),))
    assert passes(made) == [True]


def test_problems_alone_ask_for_samples(read: Read) -> None:
    with pytest.raises(CorpusError, match="give samples with question_id and code_list"):
        read([ROW])
    (made,) = candidates(read([{**ROW, "mine": "print(3)"}], code_field="mine"))
    assert made.code.endswith("print(3)")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"public_test_cases": "[]", "private_test_cases": "[]"}, "public_test_cases"),
        ({"public_test_cases": "[1]"}, "public_test_cases[0]"),
        ({"public_test_cases": json.dumps([case("1", "1", "oral")])}, "public_test_cases"),
        ({"public_test_cases": [{"testtype": []}], "private_test_cases": ""}, "public_test_cases"),
        ({"public_test_cases": json.dumps([{"testtype": "stdin"}])}, "public_test_cases[0].input"),
        (
            {"public_test_cases": json.dumps([case("1", "1", "functional")])},
            "public_test_cases",
        ),
        (
            {
                "public_test_cases": json.dumps([case("1", "1", "functional")]),
                "private_test_cases": "",
            },
            "metadata.func_name",
        ),
        (
            {
                "public_test_cases": json.dumps([case("{", "1", "functional")]),
                "private_test_cases": "",
                "metadata": {"func_name": "f"},
            },
            "public_test_cases[0].input",
        ),
        ({"private_test_cases": "[" * 100_000}, "private_test_cases"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], key: str, read: Read) -> None:
    error = first_error(read, change)
    assert error.key == key
