"""How much honest candidates are slowed by hostile ones beside them: at most 10 % is claimed.

    python benchmarks/hostile_neighbours.py [--repeat N]

Runs tests/hostile/corpus.jsonl and the honest candidates of it alone, turn by turn, with
``hpc-runner run --rounds 3 --runtime local``, and compares the medians of the CPU time of
the honest executions.  Exit code 1 when the claim doesn't hold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.dataset as ds

CORPUS = Path(__file__).parents[1] / "tests" / "hostile" / "corpus.jsonl"
MOST = 1.10
COLUMNS = ("cpu_s", "wall_s")


def honest_times(corpus: Path, out: Path) -> dict[str, list[float]]:
    """Seconds of every honest execution of a run, by column."""
    command = [sys.executable, "-m", "hpc_runner", "run", str(corpus), "--out", str(out)]
    command += ["--rounds", "3", "--runtime", "local"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    files = sorted(map(str, (out / "waves" / "000" / "results").rglob("*.parquet")))
    columns = ["task_id", "verdict", *COLUMNS]
    rows = [r for r in ds.dataset(files).to_table(columns=columns).to_pylist()
            if r["task_id"].startswith("honest/")]  # fmt: skip
    wrong = [row["task_id"] for row in rows if row["verdict"] != "accepted"]
    if wrong:
        sys.exit(f"not accepted: {wrong}")
    return {column: [row[column] for row in rows] for column in COLUMNS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    alone: dict[str, list[float]] = {column: [] for column in COLUMNS}
    beside: dict[str, list[float]] = {column: [] for column in COLUMNS}
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        only = top / "honest.jsonl"
        rows = [line for line in CORPUS.read_text().splitlines()
                if json.loads(line)["task_id"].startswith("honest/")]  # fmt: skip
        only.write_text("\n".join(rows) + "\n")
        for turn in range(options.repeat):
            for found, corpus, kind in ((alone, only, "alone"), (beside, CORPUS, "beside")):
                times = honest_times(corpus, top / f"{kind}-{turn}")
                for column in COLUMNS:
                    found[column] += times[column]
    status = 0
    for column in COLUMNS:
        first, second = statistics.median(alone[column]), statistics.median(beside[column])
        ratio = second / first
        held = "held" if ratio <= MOST else "NOT HELD"
        print(
            f"{column}: median alone {1000 * first:.2f} ms, beside attacks {1000 * second:.2f} ms,"
            f" ratio {ratio:.3f} (at most {MOST}): {held}"
        )
        if column == "cpu_s" and ratio > MOST:
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
