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

__all__ = ["FORMAT", "KeyMaker", "normalised"]

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
        }
        if config.suspicious == "fail":
            # Then what the policy saw in the program decides, too.
            settings["policy"] = config.policy.model_dump(mode="json")
        return cls(hashlib.sha256(canonical_json(settings)).digest())

    def key(
        self, candidate: Candidate, given: Mapping[str, str], resolved: Sequence[str] = ()
    ) -> bytes:
        """32 bytes.  ``given``: the variables that the policy lets the candidate have.
        ``resolved``: digests of its dependencies, one for each environment."""
        content = {
            "code": normalised(candidate.code, candidate.language),
            "tests": candidate.tests.model_dump(mode="json"),
            "language": candidate.language,
            "limits": candidate.limits.model_dump(mode="json"),
            "dependencies": sorted(resolved),
            "env": dict(given),
        }
        return hashlib.sha256(self.settings + canonical_json(content)).digest()


def normalised(code: str, language: str) -> str:
    """The program without what no compiler sees: empty lines at its end and, where the
    language doesn't tell them apart, the kind of line ends.

    Comments, names and indentation stay: a program can read its own text.
    """
    if language not in _NEWLINE_BLIND:
        return code.rstrip("\n")
    return code.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
