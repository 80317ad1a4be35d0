"""The vote's rules (vote.py) as queries over ``results`` and ``candidates``.

They are asked about candidates whose executions differ in something; all others are simpler
(alike.py).
"""

from __future__ import annotations

from hpc_runner.model import Verdict

__all__ = ["MIXED", "TIE_ORDER", "VOTES_OF"]

TIE_ORDER = (
    Verdict.POLICY_VIOLATION,
    Verdict.COMPILE_ERROR,
    Verdict.EARLY_EXIT,
    Verdict.MEMORY_LIMIT,
    Verdict.OUTPUT_LIMIT,
    Verdict.TIME_LIMIT,
    Verdict.RUNTIME_ERROR,
    Verdict.WRONG_ANSWER,
    Verdict.ACCEPTED,
)
"""Which of equally frequent verdicts is taken: the first of these."""

# The share of its tests that an execution passed, for validation_score.
_SCORE = """
CASE WHEN verdict = 'accepted' THEN 1.0
     WHEN tests_total > 0 THEN tests_passed / tests_total ELSE 0.0 END
"""

MIXED = f"""
CREATE OR REPLACE TEMP TABLE mixed AS
WITH counted AS (
    SELECT candidate_id, environment, verdict, judge, error_type, error_message, count(*) AS n,
           list(wall_s) AS wall_s, list(cpu_s) AS cpu_s, sum({_SCORE}) AS score,
           max(peak_memory_bytes) AS peak_memory_bytes
    FROM results WHERE round < $rounds GROUP BY ALL
),
judged AS (
    SELECT * FROM counted WHERE verdict <> 'internal_error'
),
tallies AS (
    SELECT candidate_id, verdict, sum(n) AS n FROM judged GROUP BY ALL
),
majorities AS (
    SELECT candidate_id, max(n)::BIGINT AS k, sum(n)::BIGINT AS n,
           arg_max(verdict, n * 100 - list_position($tie_order, verdict)) AS verdict
    FROM tallies GROUP BY candidate_id
),
by_environment AS (
    SELECT candidate_id, environment, verdict, sum(n) AS n FROM judged GROUP BY ALL
),
of_environments AS (
    SELECT candidate_id, environment,
           arg_max(verdict, n * 100 - list_position($tie_order, verdict)) AS verdict
    FROM by_environment GROUP BY ALL
),
agreements AS (
    SELECT candidate_id, count(*) AS environments, count(DISTINCT verdict) = 1 AS agree
    FROM of_environments GROUP BY candidate_id
),
details AS (
    SELECT candidate_id, list_median(flatten(list(wall_s))) AS wall_s,
           list_median(flatten(list(cpu_s))) AS cpu_s, sum(score) / sum(n) AS score,
           max(peak_memory_bytes) AS peak_memory_bytes
    FROM judged GROUP BY candidate_id
),
unjudged AS (
    SELECT candidate_id, sum(n) AS unjudged
    FROM counted WHERE verdict = 'internal_error' GROUP BY candidate_id
),
in_majority AS (
    SELECT judged.* FROM judged JOIN majorities USING (candidate_id, verdict)
),
errors AS (
    SELECT candidate_id, error_type, error_message, sum(n) AS n
    FROM in_majority WHERE error_type IS NOT NULL GROUP BY ALL
),
error AS (
    SELECT candidate_id, arg_min(
        {{'type': error_type, 'message': error_message}},
        {{'n': -n, 'type': error_type, 'message': coalesce(error_message, '')}}
    ) AS found
    FROM errors GROUP BY candidate_id
),
judges AS (
    SELECT candidate_id, judge, sum(n) AS n FROM in_majority GROUP BY ALL
),
judge AS (
    SELECT candidate_id, arg_min(judge, {{'n': -n, 'judge': judge}}) AS judge
    FROM judges GROUP BY candidate_id
)
SELECT candidate_id, k, n, unjudged, verdict, environments, agree, judge,
       found.type AS error_type, found.message AS error_message,
       wall_s, cpu_s, peak_memory_bytes, score
FROM (SELECT DISTINCT candidate_id FROM counted)
LEFT JOIN majorities USING (candidate_id)
LEFT JOIN details USING (candidate_id)
LEFT JOIN unjudged USING (candidate_id)
LEFT JOIN agreements USING (candidate_id)
LEFT JOIN error USING (candidate_id)
LEFT JOIN judge USING (candidate_id)
"""
"""One row for each candidate that has an execution."""

VOTES_OF = """
WITH shares AS (
    SELECT k, n, k / n AS agreement, n + $z2 AS whole,
           sqrt($z2 * (k / n * (1 - k / n) * n + $z2 / 4)) AS spread,
           list_sum(list_transform(
               range(0, k + 1),
               lambda j: exp(lgamma(n + 2) - lgamma(j + 1) - lgamma(n + 2 - j) - (n + 1) * ln(2))
           )) AS confidence_level
    FROM (SELECT DISTINCT k, n FROM mixed WHERE n > 0)
),
intervals AS (
    SELECT *, greatest(0, (k + $z2 / 2 - spread) / whole) AS agreement_low,
           least(1, (k + $z2 / 2 + spread) / whole) AS agreement_high
    FROM shares
)
SELECT c.candidate_id, c.task_id, $wave::SMALLINT AS wave, c.generation, v.verdict,
       coalesce(v.verdict = 'accepted' AND agreement >= $threshold, false) AS accepted,
       coalesce(agreement >= $threshold, false) AS consensus,
       coalesce(k < n, false) AS flaky,
       agreement, agreement_low, agreement_high,
       coalesce(n, 0)::INTEGER AS judged, coalesce(unjudged, 0)::INTEGER AS unjudged,
       coalesce(v.environments, 0)::INTEGER AS environments,
       CASE WHEN v.environments > 1 THEN agree END AS environments_agree,
       CASE WHEN n IS NULL THEN 'unjudged' WHEN k = n THEN 'stable'
            ELSE coalesce(e.reliability, 'flaky') END AS reliability,
       e.cause, round(score, 9) AS validation_score, confidence_level,
       judge, error_type, error_message, wall_s, cpu_s, peak_memory_bytes
FROM candidates c
LEFT JOIN mixed v USING (candidate_id)
LEFT JOIN intervals i USING (k, n)
LEFT JOIN explained e USING (candidate_id)
"""
