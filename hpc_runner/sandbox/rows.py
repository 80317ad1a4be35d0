"""From an agent's answer to a row of the results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hpc_runner.model import Candidate, Verdict
from hpc_runner.results.store import ResultRow
from hpc_runner.runinfo import EnvironmentInfo, RunInfo
from hpc_runner.sandbox.client import Hello
from hpc_runner.sandbox.perturbation import to_text

__all__ = ["result_row", "weigh"]


def result_row(
    info: RunInfo,
    environment: EnvironmentInfo,
    hello: Hello,
    candidate: Candidate,
    answer: dict[str, Any],
) -> ResultRow:
    """All columns of ``schema.RESULTS`` that an answer determines: all but wave, shard,
    candidate_id, round and attempt."""
    image = environment.image
    tests = [
        {"name": name, "outcome": outcome, "wall_s": wall_s, "message": _text(message)}
        for name, outcome, wall_s, message in answer["tests"]
    ]
    return {
        "run_id": info.run_id,
        "task_id": candidate.task_id,
        "generation": candidate.generation,
        "environment": environment.name,
        "verdict": answer["verdict"],
        "perturbation": _perturbed(answer),
        "judge": answer["judge"],
        "judge_reason": _text_or_none(answer["judge_reason"]),
        "tests": tests,
        "tests_passed": sum(test["outcome"] == "accepted" for test in tests),
        "tests_total": len(tests),
        "exit_code": answer["exit_code"],
        "signal": answer["signal"],
        "wall_s": answer["wall_s"],
        "cpu_s": answer["cpu_s"],
        "waited_s": answer["waited_s"],
        "peak_memory_bytes": answer["peak_memory_bytes"],
        "stdout_tail": answer["stdout"]["tail"],
        "stderr_tail": answer["stderr"]["tail"],
        "stdout_bytes": answer["stdout"]["bytes"],
        "stderr_bytes": answer["stderr"]["bytes"],
        "stdout_sha256": bytes.fromhex(answer["stdout"]["sha256"]),
        "stderr_sha256": bytes.fromhex(answer["stderr"]["sha256"]),
        "error_type": _text_or_none(answer["error_type"]),
        "error_message": _text_or_none(answer["error_message"]),
        "suspicion": [_text(item) for item in answer["suspicion"]],
        "runtime": info.runtime,
        "isolation": hello.isolation,
        "mechanisms": ",".join(hello.mechanisms),
        "environment_digest": bytes.fromhex(image.digest) if image else None,
        "python": hello.python,
        "host": hello.host,
        "node_speed": hello.speed,
        "agent_version": hello.agent,
        "started_at": datetime.fromtimestamp(answer["started_at"], UTC),
    }


def weigh(answer: dict[str, Any], signs: Sequence[str], suspicious: str) -> None:
    """Add the ``signs`` of tampering that were seen without running the candidate, where they
    count, and with ``suspicious = fail`` don't let pass what isn't beyond suspicion."""
    if answer["judge"] == "inline":
        # Where tests and candidate share a process, what is tried may work.
        answer["suspicion"] += signs
    accepted = answer["verdict"] == Verdict.ACCEPTED.value
    if answer["suspicion"] and suspicious == "fail" and accepted:
        answer["verdict"] = Verdict.POLICY_VIOLATION.value
        answer["error_type"] = "Suspicion"
        answer["error_message"] = "; ".join(answer["suspicion"])[:500]


def _perturbed(answer: dict[str, Any]) -> str | None:
    made = answer["perturbation"]
    return None if made is None else to_text(made)


def _text(value: object) -> str:
    """Text that UTF-8 can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)
