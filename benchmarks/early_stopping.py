"""Early stopping against fixed rounds: how often it is wrong, and what it saves, by simulation.

    python benchmarks/early_stopping.py [--rounds 20] [--trials 20000] [--svg FILE]

A candidate's executions are accepted with probability p, else wrong answers, independently.
The same executions are given to the vote as a whole and, one after another, to ``Tally``.  It
is wrong when verdict or consensus differ.  Prints a table and writes a plot.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from hpc_runner.model import Verdict
from hpc_runner.results.vote import Tally, outcome

THRESHOLD = 0.8
GRID = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
RATES = (None, 0.001, 0.01)
COLOURS = ("#888888", "#1f5fa8", "#c2571a")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    draw = random.Random(1)
    names = ["certainty" if rate is None else f"error rate {rate}" for rate in RATES]
    print(f"| p | {' | '.join(f'saved by {name} | wrong' for name in names)} |")
    print("|---|" + "---|---|" * len(names))
    saved: list[list[float]] = [[] for _ in RATES]
    for p in GRID:
        cells = []
        for place, rate in enumerate(RATES):
            share, wrong = simulate(draw, p, options.rounds, rate, options.trials)
            saved[place].append(share)
            cells.append(f"{share:.1%} | {wrong / options.trials:.4%}")
        print(f"| {p:.2f} | {' | '.join(cells)} |", flush=True)
    if options.svg:
        options.svg.write_text(plot(saved, names, options.rounds), encoding="utf-8")


def simulate(
    draw: random.Random, p: float, rounds: int, rate: float | None, trials: int
) -> tuple[float, int]:
    """The share of the executions that is saved, and how many trials were decided wrongly."""
    spent = wrong = 0
    for _ in range(trials):
        accepted = [draw.random() < p for _ in range(rounds)]
        tally, count = Tally(rounds, THRESHOLD, rate), 0
        while not count or not tally.decided():
            tally.add(Verdict.ACCEPTED if accepted[count] else Verdict.WRONG_ANSWER)
            count += 1
        spent += count
        wrong += found(accepted[:count]) != found(accepted)
    return 1 - spent / (rounds * trials), wrong


def found(accepted: list[bool]) -> tuple[Verdict | None, bool]:
    counts = {Verdict.ACCEPTED: sum(accepted), Verdict.WRONG_ANSWER: accepted.count(False)}
    result = outcome(counts, THRESHOLD)
    return result.verdict, result.consensus


def plot(saved: list[list[float]], names: list[str], rounds: int) -> str:
    """Saved executions over p, as SVG."""
    left, top, width, height = 60, 20, 480, 220

    def x(p: float) -> float:
        return left + p * width

    def y(share: float) -> float:
        return top + height * (1 - share / 0.5)

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 310" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="600" height="310" fill="white"/>',
    ]
    for tick in range(6):
        at = y(tick / 10)
        parts.append(f'<path d="M{left} {at:.1f}h{width}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{tick * 10} %</text>'
        )
        across = x(tick / 5)
        parts.append(
            f'<text x="{across:.1f}" y="{top + height + 18}" text-anchor="middle">'
            f"{tick / 5:.1f}</text>"
        )
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">'
        f"probability that an execution is accepted; {rounds} rounds, threshold {THRESHOLD}</text>"
    )
    for place, (line, name, colour) in enumerate(zip(saved, names, COLOURS, strict=True)):
        points = " ".join(f"{x(p):.1f},{y(share):.1f}" for p, share in zip(GRID, line, strict=True))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        at = left + place * 160
        parts.append(f'<path d="M{at} 296h20" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{at + 26}" y="300">saved, {name}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
