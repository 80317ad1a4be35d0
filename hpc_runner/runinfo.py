"""``run.json``: what a run was asked to do and what its plan found.

It is written once, last of everything that the plan writes, by rename: where
it exists, the plan is complete.  Workers and the coordinator read all that
they need to know from it, so that nothing but a path travels between them.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc_runner.config import RunConfig, explain
from hpc_runner.errors import RunError, StorageError
from hpc_runner.rundir import RunDir

__all__ = ["EnvironmentInfo", "ImageInfo", "RunInfo", "read_info", "temporary_info", "write_info"]


class ImageInfo(BaseModel):
    """The image that the candidates run in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """The recipe in containers/."""
    reference: str
    """What the runtime calls it."""
    digest: str
    """Hex SHA-256 of its content."""


class EnvironmentInfo(BaseModel):
    """One of the environments that the candidates run in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """As in the results' column ``environment``; unique in the run."""
    image: ImageInfo | None = None
    """None for an interpreter, and in the plan of a dry run."""
    interpreter: str | None = None
    """Absolute path, in the ``local`` runtime."""
    python: str | None = None
    """Its version, for example "3.11.7", where the plan knows it."""


class RunInfo(BaseModel):
    """The content of ``run.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    created_at: datetime
    hpc_runner: str
    """Version that planned the run."""
    schema_version: int
    config: RunConfig
    format: str
    """The corpus's format, detected or told."""
    corpus_digest: str
    """Hex SHA-256 of the corpus's files."""
    samples: int
    candidates: int
    """Distinct programs: what is executed."""
    duplicates: int
    """Samples that share the candidate of an earlier one."""
    cached: int = 0
    """Candidates whose votes the result cache knew: they are in no shard."""
    rejected: int
    """Rows of the corpus that could not be used."""
    shards: int
    """Of wave 0."""
    runtime: str
    runtime_reason: str
    """Why ``auto`` chose it, or that it was asked for."""
    environments: tuple[EnvironmentInfo, ...] = Field(min_length=1)
    """In the order in which they were asked for."""
    host: str
    """Where it was planned."""
    warnings: tuple[str, ...] = ()
    """What the plan found that the user should know, a line each."""

    @property
    def executions_per_candidate(self) -> int:
        """At most: every round in every environment."""
        return self.config.rounds * len(self.environments)

    @property
    def executions_at_most(self) -> int:
        return (self.candidates - self.cached) * self.executions_per_candidate


def write_info(run: RunDir, info: RunInfo) -> None:
    """Raises ``StorageError`` when the disk refuses."""
    temporary = temporary_info(run)
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(info.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(run.info)
    except OSError as error:
        raise StorageError(f"can't write {run.info}: {error.strerror}") from error


def temporary_info(run: RunDir) -> Path:
    """Where ``run.json`` is before it is complete."""
    return run.info.with_name(run.info.name + ".tmp")


def read_info(run: RunDir) -> RunInfo:
    """Raises ``RunError`` for a directory that is no run, or not one of this version's."""
    try:
        text = run.info.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(_not_a_run(run)) from None
    except NotADirectoryError:
        raise RunError(f"{run.root} is a file; give the directory of a run") from None
    except OSError as error:
        raise RunError(f"can't read {run.info}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise RunError(f"{run.info} isn't UTF-8 text, so hpc-runner didn't write it") from None
    try:
        return RunInfo.model_validate_json(text)
    except ValidationError as error:
        raise RunError(
            f"{run.info} can't be read by this version of hpc-runner: {explain(error)}. "
            f"Use the version that made it, or start a new run with another --out"
        ) from error


def _not_a_run(run: RunDir) -> str:
    if not run.root.exists():
        return f"there is no run directory {run.root}; `hpc-runner run CORPUS --out` makes one"
    if (run.root / "waves").is_dir() or run.planning.exists():
        return (
            f"{run.root} holds a plan that was never finished: repeat the `hpc-runner run` "
            f"that made it, with --out {run.root}"
        )
    found = sorted(path.name for path in run.root.iterdir())[:5]
    return (
        f"{run.root} is not a run directory: it has no run.json"
        f" (found {', '.join(found) or 'nothing'})"
    )
