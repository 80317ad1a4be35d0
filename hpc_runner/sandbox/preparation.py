"""What is known of a shard's candidates before any of them runs.

The planner has checked them and resolved their dependencies; here it becomes
what the worker acts on: answers for those that aren't run, and what the others
are given.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc_runner.config import PolicyConfig, RunConfig
from hpc_runner.corpus.policy import given_environment, signs
from hpc_runner.corpus.policy_rules import RULES
from hpc_runner.model import Candidate, Verdict
from hpc_runner.results.candidates import Checked, Row
from hpc_runner.results.portion import Portion
from hpc_runner.sandbox.agent import AGENT_VERSION
from hpc_runner.sandbox.client import Hello
from hpc_runner.sandbox.dependencies import Sets, distinct
from hpc_runner.sandbox.libraries import directory, has_libraries
from hpc_runner.sandbox.native import native, unsupported
from hpc_runner.sandbox.perturbation import Perturbation
from hpc_runner.sandbox.spec import Image, seen_at
from hpc_runner.sandbox.toolchains import PYTHON

__all__ = ["Preparation", "given_up", "mounts", "no_agent", "unrun"]

_NOTHING = {
    "tail": "",
    "bytes": 0,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


class Preparation:
    """Of one shard in one environment; candidates are addressed by their index in the shard.

    ``sets``: the environment's dependencies.  ``image``: what it is made of, or None.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        policy: PolicyConfig,
        checked: Mapping[bytes, Checked],
        sets: Sets,
        image: Image | None,
    ) -> None:
        self._policy = policy
        self._sets = sets
        self._image = image
        self.not_run: dict[int, dict[str, Any]] = {}
        """Index → the answer that stands for all executions of a candidate there."""
        self.signs: dict[int, list[str]] = {}
        """Index → signs of tampering that were seen without running it."""
        for index, (candidate_id, _, candidate) in enumerate(rows):
            found = checked.get(candidate_id)
            if found is not None:
                self.signs[index] = signs(found.findings)
            if found is not None and found.refused is not None:
                self.not_run[index] = _refused(found.refused)
            elif reason := unsupported(candidate):
                self.not_run[index] = unrun(Verdict.INTERNAL_ERROR, "exit", "LanguageError", reason)
            elif reason := self._missing(candidate):
                self.not_run[index] = unrun(
                    Verdict.INTERNAL_ERROR, "dependencies", "DependencyError", reason
                )

    def execution(
        self,
        candidate: Candidate,
        config: RunConfig,
        judge: str,
        perturbed: Perturbation,
        beside: int,
    ) -> dict[str, Any]:
        """A request to the agent, but for its id.  ``beside``: as many slots share the CPUs."""
        return {
            "op": "run",
            "code": candidate.code,
            "tests": candidate.tests.model_dump(mode="json"),
            "limits": candidate.limits.model_dump(mode="json"),
            **self.request(candidate),
            "judge": judge,
            "every": config.every_test,
            "fresh": config.fresh_interpreter,
            "perturbation": dict(perturbed),
            "beside": beside,
            **self._native(candidate),
        }

    def request(self, candidate: Candidate) -> dict[str, Any]:
        """The keys of a request to the agent that depend on policy and dependencies."""
        made: dict[str, Any] = {"env": given_environment(candidate, self._policy)}
        known = self._sets.get(distinct(candidate.dependencies))
        if known is not None and known.directory is not None:
            made["path"] = [seen_at(Path(known.directory), self._image)]
        return made

    def _native(self, candidate: Candidate) -> dict[str, Any]:
        """Of another language's program: how it is built and run."""
        if candidate.language == PYTHON:
            return {}
        return native(candidate, directory(candidate.language, image=self._image is not None))

    def _missing(self, candidate: Candidate) -> str | None:
        language = candidate.language
        if self._image is None and has_libraries(language):
            place = Path(directory(language, image=False))
            if not place.is_dir():
                host = socket.gethostname()
                return f"the libraries of {language} are not in {place} on {host}"
        known = self._sets.get(distinct(candidate.dependencies))
        if known is None:
            return None
        if known.directory is None:
            return known.error or "no reason is known"
        if not Path(known.directory).is_dir():
            return f"{known.directory} is not visible on {socket.gethostname()}"
        return None


def mounts(candidates: Iterable[Candidate], sets: Sets) -> tuple[Path, ...]:
    """The directories that these candidates import from, in a fixed order."""
    wanted = {distinct(candidate.dependencies) for candidate in candidates}
    found = {known.directory for key in wanted if (known := sets.get(key)) is not None}
    return tuple(sorted(Path(path) for path in found if path is not None and Path(path).is_dir()))


def no_agent() -> Hello:
    """Stands for the agent where there was none."""
    return Hello(
        agent=AGENT_VERSION,
        python="",
        kernel="",
        host=socket.gethostname(),
        slots=0,
        isolation="none",
        mechanisms=(),
        missing={},
    )


def unrun(verdict: Verdict, judge: str, error_type: str, message: str) -> dict[str, Any]:
    """An answer as the agent would give it, for what it was never asked or didn't answer."""
    return {
        "verdict": verdict.value,
        "judge": judge,
        "judge_reason": None,
        "tests": [],
        "exit_code": None,
        "signal": None,
        "wall_s": 0.0,
        "cpu_s": 0.0,
        "waited_s": 0.0,
        "peak_memory_bytes": 0,
        "stdout": _NOTHING,
        "stderr": _NOTHING,
        "error_type": error_type,
        "error_message": message[:500],
        "suspicion": [],
        "perturbation": None,
        "started_at": time.time(),
    }


def given_up(portion: Portion) -> dict[int, dict[str, Any]]:
    """Row → answer, for the candidates that killed their workers."""
    return {
        row: unrun(Verdict.INTERNAL_ERROR, "exit", "WorkerFailure", f"it ran alone, and {reason}")
        for row, reason in portion.unjudged.items()
    }


def _refused(finding: str) -> dict[str, Any]:
    rule, _, message = finding.partition(" ")
    name = RULES[rule].name if rule in RULES else "unknown rule"
    return unrun(Verdict.POLICY_VIOLATION, "policy", rule, f"{name}: {message}")
