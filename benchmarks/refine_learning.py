"""Does refinement learn which strategy works?  HumanEvalFix, run after run.

    python benchmarks/refine_learning.py ../shared/data/humanevalpack_python.jsonl.gz [--runs 10]

The buggy programs are run once, by real workers, to have their failures.  Then runs follow in
which a stand-in for a model repairs each failure once: right or not by a draw, whose chance
depends on the strategy and the kind of failure, and isn't best for the usual strategy.  The
store of patterns is the real one, and all that passes from run to run.  Prints the share that is
repaired in each run, without learning and with it, and what the best choice would reach.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpc_runner.config import RefineConfig, RunConfig
from hpc_runner.machine import cores
from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.refine.failures import Failure, failures
from hpc_runner.refine.patterns import Learnt, Patterns, error_class
from hpc_runner.refine.strategies import Strategy, usual
from hpc_runner.refine.taxonomy import signature
from hpc_runner.rundir import RunDir

BEST = {"wrong_answer": Strategy.COMPREHENSIVE, "runtime_error": Strategy.LOGIC_IMPROVEMENT}
"""Not the usual ones.  Every other verdict: the usual strategy is the best."""
SKILL_BEST, SKILL_USUAL, SKILL_OTHER = 0.85, 0.35, 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
        failed = failures_of(options.corpus, Path(scratch) / "run")
        best = sum(skill(failure, best_for(failure)) for failure in failed) / len(failed)
        kinds = len({error_class(failure) for failure in failed})
        print(f"{len(failed)} failures of {kinds} kinds; the best choices repair {best:.1%}")
        print("run   without learning   with it   the best strategy chosen")
        store = Patterns(Path(scratch) / "patterns")
        draw = random.Random(options.seed)
        for number in range(options.runs):
            plain = repaired(failed, Learnt({}, {}), draw, None, number)
            learnt = store.learnt(seed=number)
            right = sum(learnt.strategy(one) is best_for(one) for one in failed) / len(failed)
            learning = repaired(failed, learnt, draw, store, number)
            print(f"{number + 1:>3} {plain:>18.1%} {learning:>9.1%} {right:>26.1%}")


def failures_of(corpus: Path, where: Path) -> list[Failure]:
    """What the buggy programs do, from an execution of each."""
    values: dict[str, Any] = {
        "corpus": (str(corpus.absolute()),), "code_field": "buggy_solution", "runtime": "local",
        "require_isolation": "limits", "rounds": 1, "workers": cores().usable,
    }  # fmt: skip
    run = RunDir(where)
    plan(run, RunConfig.parse(values), progress=lambda _: None)
    run_to_end(run, LocalScheduler(cores().usable), on_change=lambda _: None, say=print)
    with failures(run, 0, RefineConfig(mode="failing")) as found:
        return [failure for batch in found.batches() for failure in batch]


def best_for(failure: Failure) -> Strategy:
    return BEST.get(failure.verdict, usual(failure))


def skill(failure: Failure, strategy: Strategy) -> float:
    if strategy is best_for(failure):
        return SKILL_BEST
    return SKILL_USUAL if strategy is usual(failure) else SKILL_OTHER


def repaired(
    failed: list[Failure], learnt: Learnt, draw: random.Random, store: Patterns | None, number: int
) -> float:
    """The share that one run repairs; what came of it is kept."""
    rows, count = [], 0
    for failure in failed:
        strategy = learnt.strategy(failure)
        accepted = draw.random() < skill(failure, strategy)
        count += accepted
        rows.append({
            "run_id": f"run {number}", "candidate_id": failure.candidate_id,
            "created_at": datetime.now(UTC), "error_class": error_class(failure),
            "signature": signature(failure), "strategy": strategy.value, "model": "stand-in",
            "accepted": accepted, "diff": None, "usd": 0.01,
        })  # fmt: skip
    if store is not None:
        store.add(rows)
    return count / len(failed)


if __name__ == "__main__":
    main()
