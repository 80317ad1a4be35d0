"""What the worker does with candidates that were checked before, and what it gives the others."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hpc_runner.config import PolicyConfig
from hpc_runner.model import Candidate
from hpc_runner.results.candidates import Checked
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.dependencies import ResolvedSet
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.preparation import Preparation, mounts
from hpc_runner.sandbox.spec import AgentSpec, Image, Runtime

IMAGE = Image("py311", "hpc-runner-py311:0123456789ab", bytes(32))


def candidate(**fields: Any) -> Candidate:
    return Candidate(**{"task_id": "T", "code": "", **fields})


def prepared(
    made: Candidate,
    *,
    checked: Checked | None = None,
    sets: dict[tuple[str, ...], ResolvedSet] | None = None,
    image: Image | None = None,
) -> Preparation:
    found = {} if checked is None else {made.candidate_id: checked}
    rows = [(made.candidate_id, 0, made)]
    return Preparation(rows, PolicyConfig(), found, sets or {}, image)


def resolved(directory: Path | None, error: str | None = None) -> dict[Any, ResolvedSet]:
    known = ResolvedSet(
        requirements=("a", "b"), directory=str(directory) if directory else None, error=error
    )
    return {known.requirements: known}


def test_a_refused_candidate_has_its_answer() -> None:
    text = "HR503 os._exit: line 3"
    got = prepared(candidate(), checked=Checked((text,), text))
    answer = got.not_run[0]
    assert (answer["verdict"], answer["judge"]) == ("policy_violation", "policy")
    assert answer["error_type"] == "HR503"
    assert answer["error_message"] == "immediate_exit: os._exit: line 3"
    assert got.signs == {0: [f"static: immediate_exit ({text})"]}


def test_a_warning_keeps_nothing_from_being_run() -> None:
    got = prepared(candidate(), checked=Checked(("HR503 os._exit: line 3",)))
    assert got.not_run == {}
    assert len(got.signs[0]) == 1


def test_dependencies_that_cannot_be_had_leave_a_candidate_unjudged() -> None:
    needs = candidate(dependencies=("b", "a"))
    answer = prepared(needs, sets=resolved(None, "no such package")).not_run[0]
    assert (answer["verdict"], answer["judge"]) == ("internal_error", "dependencies")
    assert (answer["error_type"], answer["error_message"]) == ("DependencyError", "no such package")


def test_a_directory_that_this_node_does_not_see_is_said(tmp_path: Path) -> None:
    needs = candidate(dependencies=("a", "b"))
    got = prepared(needs, sets=resolved(tmp_path / "gone"))
    assert "gone is not visible on" in got.not_run[0]["error_message"]


def test_the_candidate_is_told_where_its_dependencies_are(tmp_path: Path) -> None:
    needs, sets = candidate(dependencies=("b", "a")), resolved(tmp_path)
    assert prepared(needs, sets=sets).request(needs)["path"] == [str(tmp_path)]
    inside = prepared(needs, sets=sets, image=IMAGE).request(needs)["path"]
    assert inside == [f"/opt/hpc_runner/mounts/{tmp_path.name}"]
    assert mounts([needs, candidate(), needs], sets) == (tmp_path,)


def test_a_candidate_without_dependencies_is_told_nothing(tmp_path: Path) -> None:
    plain = candidate(env={"A": "1", "LD_PRELOAD": "x"})
    assert prepared(plain, sets=resolved(tmp_path)).request(plain) == {"env": {"A": "1"}}
    assert mounts([plain], resolved(tmp_path)) == ()


# In the sandbox


def executed(runtime: Runtime, image: Image | None, directory: Path, code: str) -> dict[str, Any]:
    """The answer of an agent that was told of a directory of modules."""
    name = f"hpc-runner-test-{os.getpid()}-{time.time_ns():x}"
    spec = AgentSpec(name, 1, "limits", 1 << 30, 200, image=image, mounts=(directory,))
    agent = Agent(
        runtime.command(spec), runtime.environment(), kill=lambda: runtime.kill(spec.name)
    )
    needs, sets = candidate(code=code, dependencies=("a", "b")), resolved(directory)
    given = prepared(needs, sets=sets, image=image).request(needs)
    tests = {"kind": "expected_output", "stdout": "3", "checker": "trimmed", "tolerance": 0.0}
    try:
        agent.submit({"op": "run", "id": 1, "code": code, "tests": tests, **given})
        (answer,) = agent.answers(30.0)
    finally:
        agent.close()
    return answer


CODE = """
import os, tiny
directory = os.path.dirname(tiny.__file__)
for name in ("tiny.py", "new.py"):
    try:
        open(os.path.join(directory, name), "w")
    except OSError:
        continue
    print("it could be written")
print(tiny.three)
"""


def modules(where: Path) -> Path:
    """A directory that stands for the cache's: readable for everybody, all the way."""
    directory = where / "content"
    directory.mkdir()
    (directory / "tiny.py").write_text("three = 3\n")
    for parent in (directory, *list(directory.parents)[:3]):
        parent.chmod(0o755)
    return directory


def test_the_local_sandbox_shows_the_directory_and_keeps_it_from_harm(tmp_path: Path) -> None:
    directory = modules(tmp_path)
    answer = executed(LocalRuntime(), None, directory, CODE)
    assert answer["verdict"] == "accepted", answer
    assert (directory / "tiny.py").read_text() == "three = 3\n"


def test_a_container_shows_the_directory_and_keeps_it_from_harm(
    docker_engine: DockerRuntime, docker_image: Image, tmp_path: Path
) -> None:
    directory = modules(tmp_path)
    answer = executed(docker_engine, docker_image, directory, CODE)
    assert answer["verdict"] == "accepted", answer
    assert (directory / "tiny.py").read_text() == "three = 3\n"
