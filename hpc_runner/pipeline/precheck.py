"""What a plan does about its candidates before anything runs: the policy, then dependencies."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hpc_runner.config import RunConfig
from hpc_runner.corpus.policy import check, given_environment, refused
from hpc_runner.corpus.policy_rules import RULES, validate
from hpc_runner.errors import ConfigError
from hpc_runner.results.candidates import Checked, Row
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.client import probe
from hpc_runner.sandbox.dependencies import cache_directory, distinct, resolve_all
from hpc_runner.sandbox.installer import Target, audit
from hpc_runner.sandbox.local import base_interpreter, check_interpreter
from hpc_runner.sandbox.spec import AgentSpec, Image, Runtime

__all__ = ["Precheck"]

PROBE_BYTES = 256 << 20
PROBE_PROCESSES = 64
_NAMED = 8


class Precheck:
    """Checks candidates shard by shard, counts what was found, then has what they need.

    Raises ``ConfigError`` at once for a rule or a wheelhouse that there isn't.
    """

    def __init__(self, config: RunConfig) -> None:
        validate(config.policy)
        wheelhouse = config.wheelhouse
        if wheelhouse is not None and not Path(wheelhouse).is_dir():
            raise ConfigError(f"--wheelhouse: there is no directory {wheelhouse}")
        self._config = config
        self._rules: Counter[str] = Counter()
        self._candidates = self._refused = 0
        self._taken: set[str] = set()
        self._sets: Counter[tuple[str, ...]] = Counter()
        self._resolution: list[str] = []

    def shard(self, rows: Sequence[Row]) -> dict[bytes, Checked]:
        """By candidate_id, what the policy finds at the candidates of a shard."""
        found = {}
        for candidate_id, _, candidate in rows:
            findings = check(candidate, self._config.policy)
            bad = refused(findings)
            if findings:
                self._candidates += 1
                self._rules.update({finding.rule for finding in findings})
                found[candidate_id] = Checked(
                    tuple(map(str, findings)), None if bad is None else str(bad)
                )
            if bad is not None:
                self._refused += 1
                continue
            if candidate.dependencies:
                self._sets[distinct(candidate.dependencies)] += 1
            if candidate.env:
                given = given_environment(candidate, self._config.policy)
                self._taken |= candidate.env.keys() - given.keys()
        return found

    def resolve(
        self, run: RunDir, runtime: Runtime, image: Image | None, progress: Callable[[str], None]
    ) -> None:
        """Resolve every distinct set of dependencies, and write for the workers what they came to.

        A set that can't be had is recorded as that.  Raises ``StorageError``, and
        ``RuntimeFailure`` when the image's Python can't be asked for its version.
        """
        if not self._sets:
            return
        config = self._config
        progress(f"resolving {_count(len(self._sets), 'set')} of dependencies")
        target = _target(config, runtime, image)
        resolved = resolve_all(
            self._sets, target, wheelhouse=config.wheelhouse, cache=cache_directory()
        )
        write_json(run.dependencies(0), {"sets": [item.model_dump() for item in resolved]})
        for item in resolved:
            if item.error is not None:
                self._resolution.append(
                    f"{', '.join(item.requirements)} can't be had, which leaves "
                    f"{_count(self._sets[item.requirements], 'candidate')} unjudged: {item.error}"
                )
        self._resolution += audit(
            sorted({Path(item.directory) for item in resolved if item.directory is not None})
        )

    @property
    def warnings(self) -> list[str]:
        """What the user should know, a line each; names of variables, never values."""
        lines = []
        if self._candidates:
            often = sorted(self._rules.items(), key=lambda item: (-item[1], item[0]))
            rules = ", ".join(
                f"{rule} {RULES[rule].name} {count:,}" for rule, count in often[:_NAMED]
            )
            more = ", ..." if len(self._rules) > _NAMED else ""
            lines.append(
                f"policy: findings at {_count(self._candidates, 'candidate')} ({rules}{more}), "
                f"{self._refused:,} refused"
            )
        if self._taken:
            names = [name.encode("ascii", "backslashreplace").decode() for name in self._taken]
            some = ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            lines.append(f"policy: variables that are asked for and not given: {some}")
        return lines + self._resolution


def _target(config: RunConfig, runtime: Runtime, image: Image | None) -> Target:
    """The Python that the candidates run on."""
    if image is None:
        interpreter = config.python or base_interpreter()
        return Target(check_interpreter(interpreter), interpreter)
    name = f"hpc-runner-version-{os.getpid()}-{secrets.token_hex(4)}"
    spec = AgentSpec(name, 1, "limits", PROBE_BYTES, PROBE_PROCESSES, None, image)
    hello = probe(runtime.command(spec), runtime.environment())
    return Target(hello.python, base_interpreter(), image=True)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
