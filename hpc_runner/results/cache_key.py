"""The key of the result cache: equal exactly when the vote must come out the same.

``cache_key = SHA-256(what the candidate is, what the run does with it)``.  docs/cache.md
lists every part; tests/results/test_cache_key.py shows for each one that it matters, and
for everything else that it doesn't.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_runner.config import RunConfig
from hpc_runner.model import Candidate, canonical_json
from hpc_runner.sandbox.agent import AGENT_VERSION
from hpc_runner.sandbox.libraries import stamp
from hpc_runner.sandbox.toolchains import TOOLCHAINS

__all__ = ["FORMAT", "KeyMaker", "content", "dependencies", "normalised"]

FORMAT = 1
"""Rises when an entry's meaning changes: entries of another format are never found."""

_NEWLINE_BLIND = {"python"}
"""Languages whose compilers read ``\\r\\n`` as ``\\n``, inside of string literals, too."""


@dataclass(frozen=True)
class KeyMaker:
    """Keys of the candidates of one run."""

    settings: bytes
    """Digest of what is the same for all of them."""

    @classmethod
    def of(cls, config: RunConfig, environments: Sequence[Mapping[str, Any]]) -> KeyMaker:
        """``environments``: for each one what identifies it, as JSON data: the image's digest,
        or the interpreter and the machine where there is none.  Their order doesn't matter."""
        settings = {
            "format": FORMAT,
            "agent": AGENT_VERSION,
            "environments": sorted(canonical_json(found).decode() for found in environments),
            "rounds": config.rounds,
            "threshold": config.consensus_threshold,
            "judge": config.judge,
            "suspicious": config.suspicious,
            "every_test": config.every_test,  # one after the first failure may run out of time
            "fresh_interpreter": config.fresh_interpreter,
            "isolation": config.isolation,
            "perturbations": config.seed if config.perturb else None,
        }
        if config.error_rate is not None:
            settings["error_rate"] = config.error_rate
        if config.suspicious == "fail":
            # Then what the policy saw in the program decides, too.
            settings["policy"] = config.policy.model_dump(mode="json")
        return cls(hashlib.sha256(canonical_json(settings)).digest())

    def key(self, content: bytes, resolved: Sequence[str] = ()) -> bytes:
        """32 bytes.  ``content``: of ``content``.  ``resolved``: hex digests of the candidate's
        dependencies, those that it has, one for each environment; their order doesn't matter."""
        return hashlib.sha256(self.settings + content + dependencies(resolved)).digest()

    def sql(self, content: str, dependencies: str) -> str:
        """``key`` in DuckDB, of two expressions that give BLOBs: the second one what
        ``dependencies`` makes."""
        settings = "".join(f"\\x{byte:02x}" for byte in self.settings)
        return f"unhex(sha256('{settings}'::BLOB || {content} || {dependencies}))"


def content(candidate: Candidate, given: Mapping[str, str]) -> bytes:
    """32 bytes: what of a candidate is judged.  ``given``: the variables that the policy lets
    it have.  Its dependencies are left out: what they came to is known later."""
    parts = {
        "code": normalised(candidate.code, candidate.language),
        "tests": candidate.tests.model_dump(mode="json"),
        "language": candidate.language,
        "limits": candidate.limits.model_dump(mode="json"),
        "env": dict(given),
    }
    if candidate.language in TOOLCHAINS:
        # Conservative where an image has its own: what it has is in its digest as well.
        parts["tools"] = stamp(candidate.language)
    return hashlib.sha256(canonical_json(parts)).digest()


def dependencies(resolved: Sequence[str]) -> bytes:
    """Nothing for a candidate without dependencies."""
    return hashlib.sha256(",".join(sorted(resolved)).encode()).digest() if resolved else b""


def normalised(code: str, language: str) -> str:
    """The program without what no compiler sees: empty lines at its end and, where the
    language doesn't tell them apart, the kind of line ends.

    Comments, names and indentation stay: a program can read its own text.
    """
    text = code
    if language in _NEWLINE_BLIND:
        text = code.replace("\r\n", "\n").replace("\r", "\n")
    bare = text.rstrip("\n")
    # After a backslash the lines that follow are no longer empty ones at the end.
    return text if bare.endswith("\\") else bare
