"""Events in files and on the terminal: where they go, and what they never hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc_runner import create_code_running_tool
from hpc_runner import logs as module
from hpc_runner.errors import ConfigError, StorageError
from hpc_runner.logs import CATEGORIES, event, open_logs

SECRET = "sk-very-secret-0123456789"  # noqa: S105 - looked for where it must not be


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_event_goes_where_its_category_and_level_say(tmp_path: Path) -> None:
    event("cache", "before")
    with open_logs(tmp_path / "logs"):
        for category in CATEGORIES:
            event(category, f"of {category}", wave=1, shard=None)
        event("execution", "bad\nnews \x1b[31m", level="error", candidate=b"\x00")
        event("execution", "too small to tell", level="debug")
    event("cache", "after")
    combined = lines(tmp_path / "logs/combined.log")
    assert [one["category"] for one in combined] == [*CATEGORIES, "execution"]
    assert combined[0]["wave"] == 1 and "shard" not in combined[0]
    assert combined[0]["time"].endswith("+00:00")
    assert [one["message"] for one in lines(tmp_path / "logs/http.log")] == ["of http"]
    assert [one["level"] for one in lines(tmp_path / "logs/error.log")] == ["error"]


def test_files_are_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 2000)
    with open_logs(tmp_path):
        for number in range(200):
            event("cache", f"event {number}")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["combined.log", *(f"combined.log.{n}" for n in range(1, 6))]
    assert lines(tmp_path / "combined.log")[-1]["message"] == "event 199"
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def test_mistakes(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="'loud' is not known; there are debug"),
        open_logs(tmp_path, "loud"),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't write logs"), open_logs(tmp_path / "file"):
        pass


def run(checkout: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpc_runner", *words],
        env={**os.environ, "PYTHONPATH": str(checkout), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_leaves_its_events_and_no_program_or_key(checkout: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "c.jsonl"
    corpus.write_text(json.dumps({"task_id": "t", "code": "print('my program')"}) + "\n")
    words = ["run", str(corpus), "--out", str(tmp_path / "run"), "--runtime", "local", "-q"]
    done = run(checkout, "--log-level", "info", *words, OPENROUTER_API_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    events = lines(tmp_path / "run/logs/combined.log")
    assert [one["message"] for one in events][-2:] == ["run voted", "run done"]
    assert {one["run_id"] for one in events} == {events[0]["run_id"]}
    assert "info validation: run done run_id=" in done.stderr
    for path in (tmp_path / "run/logs").iterdir():
        assert SECRET not in path.read_text() and "my program" not in path.read_text()
    refused = run(checkout, "status", str(tmp_path / "run"), HPC_RUNNER_LOG="loud")
    assert refused.returncode == 2 and "'loud'" in refused.stderr


def test_the_tool_tells_what_it_did_and_not_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    with (
        create_code_running_tool(runtime="local", policy={"mode": "refuse"}) as tool,
        open_logs(tmp_path, "debug"),
    ):
        tool.validate_and_execute_code_sync("print('my program')")
        tool.validate_and_execute_code_sync("print('my program')")
        tool.validate_and_execute_code_sync("1 / 0", enable_refinement=True)
        tool.validate_and_execute_code_sync("import os\nos._exit(0)")
    events = lines(tmp_path / "combined.log")
    told = {(one["category"], one["message"]) for one in events}
    assert {
        ("cache", "miss"),
        ("cache", "hit"),
        ("execution", "executed"),
        ("refinement", "no_key"),
        ("validation", "judged"),
        ("security", "agent started"),
    } <= told
    assert [one for one in events if one["message"].startswith("not run: HR")]
    assert "my program" not in (tmp_path / "combined.log").read_text()
