"""What a plan does about its candidates before anything runs: the policy, then dependencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hpc_runner.config import RunConfig
from hpc_runner.corpus.policy import check, given_environment, refused
from hpc_runner.corpus.policy_rules import RULES, validate
from hpc_runner.errors import ConfigError
from hpc_runner.model import Candidate
from hpc_runner.results.candidates import Checked, Row
from hpc_runner.rundir import RunDir
from hpc_runner.runinfo import EnvironmentInfo
from hpc_runner.sandbox.dependencies import (
    ResolvedSet,
    cache_directory,
    distinct,
    resolve_all,
    write_sets,
)
from hpc_runner.sandbox.installer import audit
from hpc_runner.sandbox.native import unsupported
from hpc_runner.sandbox.readiness import target
from hpc_runner.sandbox.toolchains import PYTHON

__all__ = ["Precheck"]

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
        self._told: list[str] = []
        self._unsupported: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        """Of the corpus: programs by language."""

    def see(self, candidate: Candidate) -> None:
        """Note the language of a program of the corpus, and what it depends on, unless it isn't
        going to be run."""
        self.languages[candidate.language] += 1
        if candidate.language != PYTHON and (reason := unsupported(candidate)):
            self._unsupported[reason] += 1
        if candidate.dependencies and refused(check(candidate, self._config.policy)) is None:
            self._sets[distinct(candidate.dependencies)] += 1

    def warn(self, line: str) -> None:
        """Something that the user should know of the plan."""
        self._told.append(line)

    def shard(self, rows: Sequence[Row]) -> dict[bytes, Checked]:
        """``look`` at the candidates of a shard, and ``count`` what was found."""
        found = self.look(rows)
        self.count(rows, found)
        return found

    def look(self, rows: Sequence[Row]) -> dict[bytes, Checked]:
        """By candidate_id, what the policy finds."""
        found = {}
        for candidate_id, _, candidate in rows:
            if findings := check(candidate, self._config.policy):
                bad = refused(findings)
                found[candidate_id] = Checked(
                    tuple(map(str, findings)), None if bad is None else str(bad)
                )
        return found

    def count(self, rows: Sequence[Row], found: Mapping[bytes, Checked]) -> None:
        """Count for ``warnings`` what was found at these."""
        for candidate_id, _, candidate in rows:
            checked = found.get(candidate_id)
            if checked is not None:
                self._candidates += 1
                self._rules.update({finding.split(" ")[0] for finding in checked.findings})
                self._refused += checked.refused is not None
            if candidate.env and (checked is None or checked.refused is None):
                given = given_environment(candidate, self._config.policy)
                self._taken |= candidate.env.keys() - given.keys()

    def resolve(
        self,
        run: RunDir,
        environments: Sequence[EnvironmentInfo],
        progress: Callable[[str], None],
    ) -> None:
        """Resolve every distinct set of dependencies for each environment, and write for the
        workers what they came to.

        The version of each environment's Python is known.  A set that can't be had is
        recorded as that.  Raises ``StorageError``.
        """
        if not self._sets:
            return
        resolved: dict[str, list[ResolvedSet]] = {}
        for environment in environments:
            where = f" for {environment.name}" if len(environments) > 1 else ""
            progress(f"resolving {_count(len(self._sets), 'set')} of dependencies{where}")
            resolved[environment.name] = resolve_all(
                self._sets,
                target(environment),
                wheelhouse=self._config.wheelhouse,
                cache=cache_directory(),
            )
            for item in resolved[environment.name]:
                if item.error is not None:
                    leaves = _count(self._sets[item.requirements], "program")
                    self._resolution.append(
                        f"{', '.join(item.requirements)} can't be had{where}, which leaves "
                        f"{leaves} unjudged{' there' if where else ''}: {item.error}"
                    )
        write_sets(run.dependencies(0), resolved)
        items = [item for found in resolved.values() for item in found]
        self._resolution += audit(
            sorted({Path(item.directory) for item in items if item.directory is not None})
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
        lines += [
            f"{_count(number, 'program')} can't be judged: {reason}"
            for reason, number in self._unsupported.most_common(_NAMED)
        ]
        return lines + self._resolution + self._told


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
