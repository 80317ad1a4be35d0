"""HumanEvalPack in other languages: verdicts, and where the time goes.

For each language: its canonical solutions, then its buggy ones, ``--rounds`` times each on
one agent of the ``local`` runtime.  The share of time is that of all slots together: in
the compiler, and in the programs with the start of their runtimes; the rest is the
sandbox's.  The first round builds, the others find what was built.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc_runner.corpus.readers import open_corpus
from hpc_runner.model import Candidate
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.libraries import directory, prepare, views
from hpc_runner.sandbox.local import LocalRuntime
from hpc_runner.sandbox.native import native
from hpc_runner.sandbox.spec import AgentSpec

ANSWER_S = 900.0


@dataclass
class Round:
    """What came of each candidate, and the seconds that it took."""

    verdicts: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0
    build_s: float = 0.0
    run_s: float = 0.0
    exceptions: list[str] = field(default_factory=list)


def measure(agent: Agent, candidates: Sequence[Candidate], slots: int, wanted: str) -> Round:
    """Executes each once.  ``wanted``: the verdict that is no exception, or "!" and one."""
    made, waiting, known = Round(), list(enumerate(candidates)), 0
    in_flight = 0
    started = time.monotonic()
    while known < len(candidates):
        while waiting and in_flight <= slots:
            index, candidate = waiting.pop(0)
            request = {
                "op": "run", "id": index, "code": candidate.code,
                "limits": candidate.limits.model_dump(mode="json"),
                **native(candidate, directory(candidate.language, image=False)),
            }  # fmt: skip
            agent.submit(request)
            in_flight += 1
        for answer in agent.answers(ANSWER_S):
            in_flight -= 1
            known += 1
            verdict = answer["verdict"]
            made.verdicts[verdict] += 1
            made.build_s += answer["build_s"]
            made.run_s += answer["wall_s"]
            if verdict != wanted if not wanted.startswith("!") else verdict == wanted[1:]:
                said = f"{answer['error_type']}: {answer['error_message']}"
                made.exceptions.append(f"{candidates[answer['id']].task_id} {verdict} {said}")
    made.wall_s = time.monotonic() - started
    return made


def bench(file: Path, solution: str, wanted: str, options: argparse.Namespace) -> None:
    corpus = open_corpus([file], code_field=solution)
    candidates = [sample.candidate for sample in corpus][: options.first]
    for line in prepare({candidates[0].language}, print):
        print(line)
    runtime = LocalRuntime()
    spec = AgentSpec(
        f"bench-{time.time_ns():x}", options.slots, "limits", 4 << 30, 512, views=views(image=False)
    )
    agent = Agent(runtime.command(spec), runtime.environment())
    try:
        for number in range(options.rounds):
            made = measure(agent, candidates, options.slots, wanted)
            room = made.wall_s * options.slots
            print(
                f"{candidates[0].language} {solution} round {number}: {dict(made.verdicts)};"
                f" {len(candidates) / made.wall_s:.1f}/s,"
                f" compiler {made.build_s / room:.0%}, programs {made.run_s / room:.0%}"
            )
            if number == 0:
                print("".join(f"  {line[:150]}\n" for line in made.exceptions), end="")
    finally:
        agent.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path, nargs="+", help="humanevalpack_*.jsonl.gz")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", type=int, default=None, metavar="N", help="only the first N")
    options = parser.parse_args()
    for file in options.corpora:
        bench(file, "canonical_solution", "accepted", options)
        bench(file, "buggy_solution", "!accepted", options)


if __name__ == "__main__":
    main()
