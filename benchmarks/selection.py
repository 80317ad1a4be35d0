"""What selecting by agreement is worth where the truth is known: HumanEval.

    python benchmarks/select.py HUMANEVALPACK_PYTHON.jsonl.gz [--tasks 164] [--inputs 32]

For each task there are two right programs, the buggy one of HumanEvalPack, and up to five wrong
ones that are the right one with a mistake (an operator, a constant, a comparison), which the
real tests refuse; mistakes that they don't see are not taken.  The samples' order is drawn.
Selection sees the examples of the task's text alone, turned into asserts; prints pass@1 of a
random sample, of what passes the examples, and of each method.
"""

from __future__ import annotations

import argparse
import ast
import copy
import doctest
import gzip
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpc_runner.config import RunConfig
from hpc_runner.pipeline.behaviours import select_by_inputs
from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.local_scheduler import LocalScheduler
from hpc_runner.pipeline.plan import plan
from hpc_runner.results.ask import answer
from hpc_runner.results.select import select
from hpc_runner.rundir import RunDir

HERE = Path(__file__).resolve().parent
WRONG = 5
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--tasks", type=int, default=164)
    parser.add_argument("--inputs", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [json.loads(line) for line in gzip.decompress(options.corpus.read_bytes()).splitlines()]
    rows = [row for row in rows if examples(row)][: options.tasks]
    with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
        root = Path(scratch)
        mutants = run(root / "mutants", [
            one for row in rows for one in samples(row, mutations(row, options.seed), real=True)
        ])  # fmt: skip
        wrong = refused(mutants)
        chosen = [mixed(row, wrong.get(row["task_id"], []), options.seed) for row in rows]
        truth = run(root / "truth", [s for row, codes in zip(rows, chosen, strict=True)
                                     for s in samples(row, codes, real=True)])  # fmt: skip
        guessed = run(root / "guessed", [s for row, codes in zip(rows, chosen, strict=True)
                                         for s in samples(row, codes, real=False)])  # fmt: skip
        found = select(guessed, "behaviour", truth)
        count = sum(len(codes) for codes in chosen)
        print(f"{len(rows)} tasks, {count} samples\n\n| chosen by | pass@1 |\n|---|---|")
        print(f"| chance | {found.chance_pass_at_1:.3f} |")
        print(f"| the first that passes the examples | {passing(guessed, truth):.3f} |")
        print(
            f"| agreement with the examples | {select(guessed, 'agreement', truth).pass_at_1:.3f} |"
        )
        for inputs in options.inputs:
            found = select_by_inputs(
                guessed, inputs, options.seed, truth, workers=2, progress=lambda _: None
            )
            print(f"| the largest group on {inputs} inputs | {found.pass_at_1:.3f} |")
        print(f"| the best choice | {found.best_pass_at_1:.3f} |")


def examples(row: Row) -> list[str]:
    """The examples of the task's text, as asserts."""
    try:
        found = doctest.DocTestParser().get_examples(row["prompt"])
    except ValueError:
        return []
    asserts = []
    for one in found:
        source, want = one.source.strip(), one.want.strip()
        try:
            call = ast.parse(source, mode="eval").body
            ast.literal_eval(want)
        except (SyntaxError, ValueError):
            continue
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == row["entry_point"]:
            asserts.append(f"assert {source} == {want}")
    return asserts


def samples(row: Row, codes: list[str], *, real: bool) -> Iterator[Row]:
    tests: Row = {"kind": "assertions", "entry_point": row["entry_point"]}
    if real:
        tests |= {"code": row["test"], "cases": [f"check({row['entry_point']})"]}
        tests["cases"] = ["pass"] if "\ncheck(" in row["test"] else tests["cases"]
    else:
        tests |= {"code": "", "cases": examples(row)}
    for code in codes:
        yield {"task_id": row["task_id"], "code": code, "tests": tests}


def program(row: Row, body: str) -> str:
    return f"{row['declaration']}{row[body]}\n"


def mixed(row: Row, wrong: list[str], seed: int) -> list[str]:
    right = program(row, "canonical_solution")
    codes = [right, f"{right}# the same, once more\n", program(row, "buggy_solution"), *wrong]
    random.Random(f"{seed} {row['task_id']}").shuffle(codes)
    return codes


def mutations(row: Row, seed: int) -> list[str]:
    """The right program with one mistake each; a dozen at most."""
    tree = ast.parse(program(row, "canonical_solution"))
    places = [n for n, node in enumerate(ast.walk(tree)) if _mistakes(node)]
    random.Random(f"{seed} {row['task_id']}").shuffle(places)
    found = []
    for place in places[:12]:
        changed = copy.deepcopy(tree)
        node = list(ast.walk(changed))[place]
        _mistakes(node)[0]()
        found.append(ast.unparse(changed) + "\n")
    return found


def _mistakes(node: ast.AST) -> list[Any]:
    swap = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv}
    turn = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
            ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}  # fmt: skip
    if isinstance(node, ast.BinOp) and type(node.op) in swap:
        return [lambda: setattr(node, "op", swap[type(node.op)]())]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in turn:
        return [lambda: node.ops.__setitem__(0, turn[type(node.ops[0])]())]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [lambda: setattr(node, "value", node.value + 1)]
    return []


def run(root: Path, rows: list[Row]) -> RunDir:
    corpus = root.with_suffix(".jsonl")
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"corpus": (str(corpus),), "runtime": "local", "require_isolation": "limits"}
    config = RunConfig.parse({**values, "every_test": True, "rounds": 1, "workers": 2})
    plan(RunDir(root), config, progress=lambda _: None)
    run_to_end(RunDir(root), LocalScheduler(2), on_change=lambda _: None, say=print)
    return RunDir(root)


def refused(run_: RunDir) -> dict[str, list[str]]:
    """Task → mistakes that the real tests see as a wrong answer."""
    sql = """SELECT c.task_id, any_value(c.code) AS code
             FROM candidates c JOIN votes v USING (candidate_id)
             WHERE v.verdict = 'wrong_answer' GROUP BY c.task_id, c.candidate_id ORDER BY ALL"""
    found: dict[str, list[str]] = {}
    for batch in answer(run_, sql):
        for row in batch.to_pylist():
            codes = found.setdefault(row["task_id"], [])
            if len(codes) < WRONG:
                codes.append(row["code"])
    return found


def passing(guessed: RunDir, truth: RunDir) -> float:
    """pass@1 of the first sample of each task that passes the examples."""
    accepted = """SELECT s.task_id, s.sample
                  FROM samples s JOIN votes v USING (candidate_id) WHERE v.accepted"""
    right = {tuple(r.values()) for b in answer(truth, accepted) for r in b.to_pylist()}
    first: dict[str, int] = {}
    for batch in answer(guessed, f"{accepted} ORDER BY s.row"):
        for row in batch.to_pylist():
            first.setdefault(row["task_id"], row["sample"])
    tasks = {
        r["task_id"]
        for b in answer(guessed, "SELECT DISTINCT task_id FROM samples")
        for r in b.to_pylist()
    }
    return sum((task, first.get(task)) in right for task in tasks) / len(tasks)


if __name__ == "__main__":
    main()
