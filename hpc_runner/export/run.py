"""``hpc-runner export``: the formats by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hpc_runner.errors import ConfigError
from hpc_runner.export.humaneval import write_humaneval
from hpc_runner.export.tables import write_jsonl, write_parquet
from hpc_runner.rundir import RunDir

__all__ = ["EXPORTS", "default_name", "export_run"]

EXPORTS: dict[str, tuple[Callable[[RunDir, Path], int], str]] = {
    "humaneval": (write_humaneval, "_results.jsonl"),
    "jsonl": (write_jsonl, "_votes.jsonl"),
    "parquet": (write_parquet, "_votes.parquet"),
}
"""Format → the function that writes it, and how its file's name ends."""


def export_run(run: RunDir, format: str, out: Path) -> int:  # noqa: A002 - the user's word
    """Write the run's samples with their votes to the file ``out``; returns the rows.

    The file is there whole or not at all; one that exists is replaced.  Raises
    ``ConfigError`` for an unknown format or a directory that is not there,
    ``RunError`` for a run without votes, ``StorageError``.
    """
    if format not in EXPORTS:
        raise ConfigError(f"there is no export format {format!r}; there are {', '.join(EXPORTS)}")
    if out.is_dir() or not out.parent.is_dir():
        reason = "is a directory" if out.is_dir() else f"lies in {out.parent}, which is not there"
        raise ConfigError(f"{out} {reason}; give the name of a file in an existing directory")
    write, _ = EXPORTS[format]
    return write(run, out)


def default_name(samples: str, format: str) -> str:  # noqa: A002
    """How HumanEval's evaluator names it: ``samples.jsonl.gz`` → ``samples_results.jsonl``."""
    name = Path(samples).name
    for suffix in (".gz", ".zst", ".jsonl", ".parquet"):
        name = name.removesuffix(suffix)
    return name + EXPORTS[format][1]
