"""Static checks of candidates, before anything runs: ``check`` is the whole of it.

What a rule finds is a ``Finding``, never an exception.  Findings of severity
``refuse`` make the candidate a ``policy_violation`` that is not run.  The rules
stand in ``policy_rules``, and docs/policy.md says what each one can't see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from hpc_runner.config import PolicyConfig, Severity
from hpc_runner.corpus.packages import declared_name, imported_names, is_standard, normalised
from hpc_runner.corpus.policy_python import examine
from hpc_runner.corpus.policy_rules import RULES, severity
from hpc_runner.model import Candidate

__all__ = ["Finding", "Policy", "check", "given_environment", "refused", "signs"]

Policy = PolicyConfig

MOST = 40
"""Findings of one candidate: further ones are left out, those that refuse last of all."""
_MESSAGE_CHARS = 100

_SURROGATE = re.compile("[\ud800-\udfff]")
_BIDIRECTIONAL = re.compile("[\u202a-\u202e\u2066-\u2069]")
_IN_PROCESS = ("assertions", "calls", "unittest")

HARMLESS = (
    "LANG", "LANGUAGE", "LC_*", "TZ", "TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR",
    "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
"""Variables that are always allowed."""

STEERING = (
    "LD_*", "DYLD_*", "GLIBC_TUNABLES", "MALLOC_*", "GCONV_PATH", "LOCPATH", "NLSPATH", "PYTHON*",
    "BASH_ENV", "ENV", "IFS", "PERL5*", "RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "NODE_PATH",
    "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS",
)  # fmt: skip
"""Variables that steer the loader or an interpreter."""


class _Add(Protocol):
    def __call__(self, rule: str, message: str, line: int = 0) -> None: ...


@dataclass(frozen=True)
class Finding:
    """What a rule found.  ``line`` counts from 1; 0 where there is none."""

    rule: str
    severity: Severity
    line: int
    message: str

    def __str__(self) -> str:
        """As in the column ``findings``: "HR503 os._exit: line 3"."""
        return f"{self.rule} {self.message}" + (f": line {self.line}" if self.line else "")


def check(candidate: Candidate, policy: Policy) -> list[Finding]:
    """What the policy has to say of a candidate, in the order of the rules, then of the lines.

    Pure; nothing of the candidate is executed.  The same thing found on several
    lines is one finding, with the first of them.  The time is linear in the
    size of the program, of which no more than ``policy.max_code_bytes`` is read.
    """
    if policy.mode == "off" and not policy.rules:
        return []
    found: dict[tuple[str, str], int] = {}

    def add(rule: str, message: str, line: int = 0) -> None:
        key = rule, _printable(message)
        if key not in found or line < found[key]:
            found[key] = line

    modules: dict[str, int] = {}
    if _check_text(candidate.code, policy, add) and candidate.language == "python":
        modules = examine(candidate.code, candidate.tests.kind in _IN_PROCESS, add)
    _check_dependencies(candidate, policy, modules, add)
    for name in candidate.env:
        rule = _variable_rule(name, policy)
        if rule:
            add(rule, name)
    findings = [
        Finding(rule, meaning, line, message)
        for (rule, message), line in found.items()
        if (meaning := severity(rule, policy)) != "off"
    ]
    findings.sort(key=lambda f: (f.severity != "refuse", f.rule, f.line, f.message))
    return sorted(findings[:MOST], key=lambda f: (f.rule, f.line, f.message))


def refused(findings: Iterable[Finding]) -> Finding | None:
    """The finding that keeps a candidate from being run: the first one, or None."""
    return next((finding for finding in findings if finding.severity == "refuse"), None)


def signs(findings: Iterable[str]) -> list[str]:
    """Of findings as text, those that are signs of tampering, as entries of ``suspicion``."""
    return [
        f"static: {RULES[rule].name} ({text})"
        for text in findings
        if (rule := text.partition(" ")[0]) in RULES and RULES[rule].sign
    ]


def given_environment(candidate: Candidate, policy: Policy) -> dict[str, str]:
    """The variables of a candidate's own that it is really given.

    Steering ones are taken away, and with a list of allowed ones everything that is
    neither on it nor harmless.
    """
    given = {}
    for name, value in candidate.env.items():
        rule = _variable_rule(name, policy)
        removes = rule == "HR702" or (rule == "HR701" and bool(policy.allow_env))
        if rule is None or not removes or severity(rule, policy) == "off":
            given[name] = value
    return given


def _variable_rule(name: str, policy: Policy) -> str | None:
    """The rule that a variable falls under."""
    if _matches(name, (*policy.allow_env, *HARMLESS)):
        return None
    return "HR702" if _matches(name, STEERING) else "HR701"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_text(code: str, policy: Policy, add: _Add) -> bool:
    """False when the program is too large to be read any further."""
    size = len(code)
    if not code.isascii():
        size = len(code.encode("utf-8", "surrogatepass"))
        for rule, pattern in (("HR103", _SURROGATE), ("HR104", _BIDIRECTIONAL)):
            if match := pattern.search(code):
                add(rule, f"U+{ord(match[0]):04X}", code.count("\n", 0, match.start()) + 1)
    if (place := code.find("\0")) >= 0:
        add("HR102", "U+0000", code.count("\n", 0, place) + 1)
    if size > policy.max_code_bytes:
        add("HR101", f"{size} bytes")
        return False
    return True


def _check_dependencies(
    candidate: Candidate, policy: Policy, modules: dict[str, int], add: _Add
) -> None:
    allowed = {normalised(name) for name in policy.allow_dependencies}
    usable = set(allowed)
    for dependency in candidate.dependencies:
        name = declared_name(dependency)
        if name is None:
            add("HR603", dependency)
            continue
        usable.add(name)
        if name not in allowed:
            add("HR602", name)
    for module, line in modules.items():
        top = module.partition(".")[0]
        if not is_standard(top) and not usable & imported_names(top, modules):
            add("HR601", f"import {top}", line)


def _printable(message: str) -> str:
    text = message if message.isascii() and message.isprintable() else ascii(message)[1:-1]
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 3] + "..."
