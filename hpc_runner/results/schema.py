"""The Arrow schemas of every Parquet file of a run.  docs/results.md explains each column.

``SCHEMA_VERSION`` stands in the metadata of every file and rises when a column
changes its meaning or goes away; new columns alone do not raise it.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

_ID = pa.binary(32)
_NAME = pa.dictionary(pa.int32(), pa.string())


def _schema(kind: str, fields: list[tuple[str, pa.DataType, bool]]) -> pa.Schema:
    metadata: dict[bytes | str, bytes | str] = {
        "hpc_runner.schema": kind,
        "hpc_runner.schema_version": str(SCHEMA_VERSION),
    }
    return pa.schema(
        [pa.field(name, type_, nullable) for name, type_, nullable in fields], metadata=metadata
    )


CANDIDATES = _schema(
    "candidates",
    [
        ("candidate_id", _ID, False),
        ("row", pa.int64(), False),  # position of its first sample in the corpus
        ("task_id", pa.string(), False),
        ("language", pa.string(), False),
        ("code", pa.large_string(), False),
        ("tests", pa.large_string(), False),  # JSON of model.Tests
        ("limits", pa.string(), False),  # JSON of model.Limits
        ("dependencies", pa.list_(pa.string()), False),
        ("env", pa.string(), False),  # JSON object
        ("generation", pa.int16(), False),
        ("parent", _ID, True),
        ("findings", pa.list_(pa.string()), False),  # of the policy, as text
        ("refused", pa.string(), True),  # the finding that keeps it from being run
        ("cache_key", _ID, True),  # of docs/cache.md; null: without a cache
        ("description", pa.large_string(), True),  # of the task, in words; null: none
    ],
)
"""``waves/NNN/candidates.parquet``: a row group is a shard; ids are unique."""

SAMPLES = _schema(
    "samples",
    [
        ("row", pa.int64(), False),  # counts samples of the corpus from 0, rejected ones left out
        ("file", _NAME, False),
        ("file_row", pa.int64(), False),  # row in that file, from 0
        ("task_id", pa.string(), False),
        ("sample", pa.int32(), False),  # 0, 1, ... within the task
        ("candidate_id", _ID, False),
    ],
)
"""``samples.parquet``: one row for each program of the corpus; duplicates share a candidate."""

REJECTED = _schema(
    "rejected",
    [
        ("file", pa.string(), False),
        ("file_row", pa.int64(), False),
        ("key", pa.string(), False),
        ("reason", pa.string(), False),
    ],
)
"""``rejected.parquet``: the rows of the corpus that could not be used."""

TEST_OUTCOME = pa.struct(
    [
        pa.field("name", pa.string(), False),
        pa.field("outcome", pa.string(), False),  # a verdict, or "not_run"
        pa.field("wall_s", pa.float64(), False),
        pa.field("message", pa.string(), False),
    ]
)

RESULTS = _schema(
    "results",
    [
        ("run_id", _NAME, False),
        ("wave", pa.int16(), False),
        ("shard", pa.int32(), False),
        ("task_id", pa.string(), False),
        ("candidate_id", _ID, False),
        ("generation", pa.int16(), False),
        ("environment", _NAME, False),
        ("round", pa.int16(), False),
        ("attempt", pa.int16(), False),  # 0, or how many internal errors came before
        ("perturbation", _NAME, True),  # "neutral", or what was not; null: not run
        ("verdict", _NAME, False),
        ("judge", _NAME, False),  # inline | split | output | exit; not run: policy | dependencies
        ("judge_reason", pa.string(), True),  # why inline, where split was tried first
        ("tests", pa.list_(TEST_OUTCOME), False),
        ("tests_passed", pa.int32(), False),
        ("tests_total", pa.int32(), False),
        ("exit_code", pa.int16(), True),
        ("signal", pa.int16(), True),
        ("wall_s", pa.float64(), False),
        ("cpu_s", pa.float64(), False),
        ("waited_s", pa.float64(), False),  # of wall_s, ready to run but without a CPU
        ("peak_memory_bytes", pa.int64(), False),
        ("stdout_tail", pa.large_string(), False),
        ("stderr_tail", pa.large_string(), False),
        ("stdout_bytes", pa.int64(), False),
        ("stderr_bytes", pa.int64(), False),
        ("stdout_sha256", _ID, False),
        ("stderr_sha256", _ID, False),
        ("error_type", _NAME, True),
        ("error_message", pa.string(), True),  # normalised: no addresses, paths or numbers of lines
        ("suspicion", pa.list_(pa.string()), False),
        ("runtime", _NAME, False),
        ("isolation", _NAME, False),  # level: limits | filtered | full; none: not run
        ("mechanisms", _NAME, False),  # what is in force, comma-separated, sorted
        ("environment_digest", _ID, True),  # of the image; null where there is none
        ("python", _NAME, False),
        ("host", _NAME, False),
        ("node_speed", pa.float64(), True),  # Python's there, of the reference's; null: not run
        ("agent_version", _NAME, False),
        ("started_at", pa.timestamp("us", tz="UTC"), False),
    ],
)
"""``waves/NNN/results/SSSSS.parquet``: one row for each execution, keyed by
(candidate_id, environment, round)."""

VOTES = _schema(
    "votes",
    [
        ("candidate_id", _ID, False),
        ("task_id", pa.string(), False),
        ("wave", pa.int16(), False),
        ("generation", pa.int16(), False),
        ("verdict", _NAME, True),  # of the majority; null: unjudged
        ("accepted", pa.bool_(), False),  # verdict is accepted, and there is consensus
        ("consensus", pa.bool_(), False),
        ("flaky", pa.bool_(), False),  # judged executions disagree
        ("agreement", pa.float64(), True),  # share of the majority among the judged
        ("agreement_low", pa.float64(), True),  # Wilson interval, 95 %
        ("agreement_high", pa.float64(), True),
        ("judged", pa.int32(), False),
        ("unjudged", pa.int32(), False),  # executions that ended as internal_error
        ("environments", pa.int32(), False),  # that judged it
        ("environments_agree", pa.bool_(), True),  # on the verdict; null: fewer than two
        ("reliability", _NAME, False),  # reliability.Reliability
        ("cause", _NAME, True),  # of a disagreement: environment, or a dimension; null: none found
        ("validation_score", pa.float64(), True),  # mean share of its tests that passed
        ("confidence_level", pa.float64(), True),  # that the verdict is what most executions give
        ("judge", _NAME, True),
        ("error_type", _NAME, True),  # most frequent among the executions of the majority
        ("error_message", pa.string(), True),
        ("wall_s", pa.float64(), True),  # median over the judged
        ("cpu_s", pa.float64(), True),
        ("peak_memory_bytes", pa.int64(), True),  # largest over the judged
    ],
)
"""``votes.parquet``: one row for each candidate."""

REFINED = _schema(
    "refined",
    [
        ("candidate_id", _ID, False),  # what failed
        ("task_id", pa.string(), False),
        ("wave", pa.int16(), False),  # that was to be opened
        ("generation", pa.int16(), False),  # of what failed
        ("child", _ID, True),  # what was made of it; null: nothing
        ("known", pa.bool_(), False),  # the child was there before: it is in no shard of this wave
        ("how", _NAME, False),  # model | local | none
        ("reason", _NAME, True),  # why there is no child, and never will be: docs/refinement.md
        ("detail", pa.string(), True),
        ("type", _NAME, False),  # of the failure: docs/errors.md
        ("severity", _NAME, False),
        ("signature", pa.string(), False),
        ("strategy", _NAME, True),
        ("repairs", pa.list_(pa.string()), False),  # without a model, by name
        ("question", pa.string(), True),  # key of the last answer that was taken from the ledger
        ("sharing", pa.int32(), False),  # candidates that share its answers
        ("answers", pa.int16(), False),
        ("model", _NAME, True),
        ("prompt_tokens", pa.int64(), False),  # of the answers; each counted at one candidate only
        ("cached_tokens", pa.int64(), False),
        ("completion_tokens", pa.int64(), False),
        ("usd", pa.float64(), True),  # null: not known
    ],
)
"""``waves/NNN/refined.parquet``: one row for each candidate that was to be refined."""
