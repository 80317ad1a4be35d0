"""The cache's key: everything that may change a vote changes it, and nothing else does."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.config import RunConfig
from hpc_runner.model import Assertions, Candidate, ExpectedOutput, Limits
from hpc_runner.results import cache_key
from hpc_runner.results.cache_key import KeyMaker, content, dependencies, normalised

CONFIG: dict[str, Any] = {"corpus": ("/c.jsonl",)}
ENVIRONMENT = {"digest": "aa"}
CANDIDATE: dict[str, Any] = {
    "task_id": "T/0",
    "code": "def f():\n    return 1\n",
    "tests": Assertions(code="import math", cases=("assert f() == 1",), entry_point="f"),
    "dependencies": ("numpy",),
    "env": {"A": "1"},
}


def key(
    candidate: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    environments: list[dict[str, Any]] | None = None,
    given: dict[str, str] | None = None,
    resolved: tuple[str, ...] = ("d1",),
) -> bytes:
    maker = KeyMaker.of(
        RunConfig.parse(CONFIG | (config or {})),
        [ENVIRONMENT] if environments is None else environments,
    )
    whole = Candidate(**(CANDIDATE | (candidate or {})))
    return maker.key(content(whole, whole.env if given is None else given), resolved)


@pytest.mark.parametrize(
    "change",
    [
        {"code": "def f():\n    return  1\n"},
        {"code": "# a program may read itself\ndef f():\n    return 1\n"},
        {"language": "bash"},
        {"tests": Assertions(code="import math ", cases=("assert f() == 1",), entry_point="f")},
        {"tests": Assertions(code="import math", cases=("assert f() == 2",), entry_point="f")},
        {"tests": Assertions(code="import math", cases=("assert f() == 1",), entry_point="g")},
        {"tests": ExpectedOutput(stdout="1")},
        *({"limits": Limits(**{name: value})} for name, value in (
            ("wall_s", 7.5), ("cpu_s", 2.5), ("memory_bytes", 1 << 29), ("output_bytes", 1 << 21),
            ("processes", 7), ("file_bytes", 1 << 21), ("open_files", 77),
        )),
        {"env": {"A": "2"}},
        {"env": {}},
    ],
    ids=str,
)  # fmt: skip
def test_of_a_candidate_everything_that_is_judged_matters(change: dict[str, Any]) -> None:
    assert key(change) != key()


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": "T/1"},
        {"generation": 2, "parent": bytes(32)},
        {"code": "def f():\r\n    return 1\r\n"},
        {"code": "def f():\n    return 1"},
        {"code": "def f():\n    return 1\n\n\n"},
    ],
    ids=str,
)
def test_of_a_candidate_nothing_else_matters(change: dict[str, Any]) -> None:
    assert key(change) == key()


MATTERS: dict[str, Any] = {
    "rounds": 5,
    "error_rate": 0.01,
    "consensus_threshold": 0.9,
    "judge": "split",
    "suspicious": "fail",
    "fresh_interpreter": True,
    "every_test": True,
    "isolation": "container",
    "perturb": False,
    "seed": 7,
}
IS_NOTHING_TO_THE_VOTE: dict[str, Any] = {
    "cache": {"directory": "/cache"},
    "dedup": False,
    "refine": {"mode": "failing"},
    "corpus": ("/other.jsonl",),
    "format": "native",
    "code_field": "solution",
    "limit": 5,
    "strict": True,
    "early_stop": False,
    "extra_rounds": 7,
    "runtime": "docker",
    "require_isolation": "full",
    "python": "/usr/bin/python3",
    "environments": ("py313",),
    "image": "py313",
    "workers": 7,
    "slots": 7,
    "limits": {"wall_s": 77.0},
    "shard_size": 7,
    "policy": {"mode": "off"},
    "wheelhouse": "/wheels",
    "infrastructure_retries": 7,
}
"""Those that decide which candidate there is, or in which environment, come in by these."""


def test_every_option_of_a_run_either_matters_or_not() -> None:
    known = MATTERS.keys() | IS_NOTHING_TO_THE_VOTE.keys()
    assert RunConfig.model_fields.keys() <= known, "decide whether the new option matters"


@pytest.mark.parametrize("name", MATTERS)
def test_options_that_may_change_a_vote_matter(name: str) -> None:
    assert key(config={name: MATTERS[name]}) != key()


@pytest.mark.parametrize("name", sorted(IS_NOTHING_TO_THE_VOTE.keys() & RunConfig.model_fields))
def test_other_options_do_not(name: str) -> None:
    assert key(config={name: IS_NOTHING_TO_THE_VOTE[name]}) == key()


def test_where_suspicion_decides_the_policy_matters() -> None:
    strict = {"suspicious": "fail"}
    assert key(config=strict | {"policy": {"mode": "off"}}) != key(config=strict)


def test_environments_matter_and_their_order_does_not() -> None:
    one, other = {"digest": "aa"}, {"digest": "bb"}
    assert key(environments=[one]) != key(environments=[other])
    assert key(environments=[one]) != key(environments=[one, other])
    assert key(environments=[other, one]) == key(environments=[one, other])


def test_what_the_dependencies_came_to_matters() -> None:
    assert key(resolved=("d2",)) != key(resolved=("d1",)) != key(resolved=())
    assert key(resolved=("d1", "d2")) == key(resolved=("d2", "d1"))
    assert key({"dependencies": ("pandas",)}) == key()  # the same files under another name


def test_the_database_makes_the_same_keys() -> None:
    maker = KeyMaker.of(RunConfig.parse(CONFIG), [ENVIRONMENT])
    parts = [(bytes([n]) * 32, ("aa", "bb")[:n]) for n in range(3)]
    rows = pa.table(
        {
            "content": [found for found, _ in parts],
            "dependencies": [dependencies(resolved) for _, resolved in parts],
        }
    )
    with duckdb.connect() as database:
        database.register("rows", rows)
        expression = maker.sql("content", "dependencies")
        made = [row[0] for row in database.sql(f"SELECT {expression} FROM rows").fetchall()]
    assert made == [maker.key(*part) for part in parts]


def test_the_agent_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(cache_key, "AGENT_VERSION", "another")
    assert key() != before


TEXT = st.text(st.sampled_from("ab\n\r'\"\\ ,:{}[]"), max_size=8)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_two_keys_collide_only_where_all_parts_are_equal(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """No part can end in another: what is moved over a border between two gives another key."""

    def made(parts: tuple[str, str, str]) -> tuple[bytes, tuple[str, str, str]]:
        code, expected, value = parts
        changed = {"code": code, "tests": ExpectedOutput(stdout=expected), "env": {"A": value}}
        return key(changed), (normalised(code, "python"), expected, value)

    (one_key, one_parts), (other_key, other_parts) = made(one), made(other)
    assert (one_key == other_key) == (one_parts == other_parts)


@given(st.text(st.sampled_from("ab#'\n\r\\ "), max_size=12))
def test_what_is_normalised_away_no_compiler_sees(code: str) -> None:
    def compiled(text: str) -> object:
        try:
            return compile(text, "m", "exec").co_code, compile(text, "m", "exec").co_consts
        except (SyntaxError, ValueError) as error:
            return type(error)

    assert compiled(code) == compiled(normalised(code, "python"))
