"""Every exception that hpc_runner raises on purpose.

A candidate's failure is never an exception: it is a verdict.  An exception is
the user's mistake or trouble of ours, and it has a name in this tree:

    HpcRunnerError
    ├── UserError                 stop at once; exit code 2; says what to do
    │   ├── ConfigError           an option, profile or environment that can't be used
    │   │   └── KeyMissing        no key for the model's provider: nothing can be refined
    │   ├── CorpusError           a corpus that can't be read as what it claims to be
    │   └── RunError              a run directory that is missing, foreign or busy
    └── InfrastructureError       contained, retried, counted; exit code 1
        ├── RuntimeFailure        a runtime or its agent didn't start, died or broke the protocol
        │   ├── IsolationError    the isolation that is required can't be had here
        │   └── ImageError        an image can't be built, found or verified
        ├── DependencyError       a candidate's dependencies can't be had: it is unjudged
        ├── SchedulerError        workers can't be started or watched
        │   └── SchedulerBusy     it doesn't answer now; it is asked again later
        │       └── SchedulerFull it takes no more jobs of ours for now
        ├── StorageError          a file can't be written, or is damaged
        └── ModelError            a model gave no answer
            ├── ModelBusy         for now; the same question may be asked again later
            ├── QuestionError     to this question, and never will; others may be asked
            └── ModelUnavailable  to any question: wrong key, retired model, provider down

``RowError`` is the one that is caught by the planner: it names a bad row of a
corpus, which is then recorded in ``rejected.parquet`` while the run goes on
(``--strict`` turns it into a stop).  It is a ``CorpusError``.
"""

from __future__ import annotations


class HpcRunnerError(Exception):
    """The root: whatever hpc_runner raises on purpose."""

    exit_code = 1


class UserError(HpcRunnerError):
    """The user can mend it; the message says how."""

    exit_code = 2


class ConfigError(UserError):
    """An option, profile or environment that can't be used."""


class KeyMissing(ConfigError):
    """No key for the model's provider: nothing can be refined."""


class CorpusError(UserError):
    """A corpus that can't be read as what it claims to be."""


class RowError(CorpusError):
    """One bad row: ``row`` counts from 0, ``key`` is the field that is wrong."""

    def __init__(self, file: str, row: int, key: str, reason: str) -> None:
        super().__init__(f"{file}, row {row}, {key!r}: {reason}")
        self.file = file
        self.row = row
        self.key = key
        self.reason = reason


class RunError(UserError):
    """A run directory that is missing, foreign or busy."""


class InfrastructureError(HpcRunnerError):
    """Ours: never a verdict."""


class RuntimeFailure(InfrastructureError):
    """A runtime or its agent didn't start, died or broke the protocol."""


class IsolationError(RuntimeFailure):
    """The isolation that is required can't be had here."""


class ImageError(RuntimeFailure):
    """An image can't be built, found or verified."""


class DependencyError(InfrastructureError):
    """A candidate's dependencies can't be had: it is unjudged."""


class SchedulerError(InfrastructureError):
    """Workers can't be started or watched."""


class SchedulerBusy(SchedulerError):
    """The scheduler doesn't answer now: what was asked may have been done.  Asked again later."""


class SchedulerFull(SchedulerBusy):
    """The scheduler takes no more jobs of ours for now; it has refused this one."""


class StorageError(InfrastructureError):
    """A file can't be written, or is damaged."""


class ModelError(InfrastructureError):
    """A model gave no answer."""


class ModelBusy(ModelError):
    """No answer for now, after all tries: the same question may be asked again later."""


class QuestionError(ModelError):
    """No answer to this question, and there never will be; others may be asked."""


class ModelUnavailable(ModelError):
    """No answer to any question: asking goes on when the cause is mended."""
