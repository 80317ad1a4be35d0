"""What asking a model costs us, and how close it keeps to the rate that it is given.

    python benchmarks/refine_throughput.py [--questions 10000] [--latency 0.2] [--errors 0.05]

A provider on loopback, in a process of its own, answers every question after the latency and
fails a share of the requests (500).  Three passes over the same questions, in one run:

1. no limit but the concurrency: requests per second, against concurrency / latency;
2. with a limit per minute of `--of` times what pass 1 reached: the share of it that was used;
3. litellm alone, without our refiner, on a tenth of the questions: what of the CPU is ours.

Prints CPU of our process per request and its peak memory; litellm's import is told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hpc_runner.refine.breaker import Patience
from hpc_runner.refine.claude import ClaudeRefiner, load_litellm, messages
from hpc_runner.refine.keys import Secret
from hpc_runner.refine.models import parse_model
from hpc_runner.refine.refiner import (
    ModelSpec,
    Part,
    Question,
    Reply,
    question_key,
)

HERE = Path(__file__).resolve().parent
SERVER = HERE.parent / "tests" / "refine" / "model_server.py"
KEY = "sk-of-the-benchmark"
CODE = "def f(x):\n    return x + 1\n" * 20
SCHEMA = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--errors", type=float, default=0.05, help="share of the requests")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--of", type=float, default=0.5, help="the limit, of what pass 1 reached")
    options = parser.parse_args()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    litellm = load_litellm()
    print(
        f"litellm's import: {time.process_time() - cpu_s:.1f} s CPU,"
        f" {time.perf_counter() - wall_s:.1f} s, then {peak_mib():.0f} MiB"
    )
    with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
        script = Path(scratch) / "script.jsonl"
        rules = [
            {"share": options.errors, "kind": "error", "delay_s": options.latency},
            {"text": {"code": CODE}, "delay_s": options.latency},
        ]
        script.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
        command = [sys.executable, str(SERVER), "--script", str(script), "--key", KEY]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                base = server.stdout.readline().split()[1]
                passes(options, litellm, base)
            finally:
                server.kill()


def passes(options: argparse.Namespace, litellm: Any, base: str) -> None:
    questions = [question(number) for number in range(options.questions)]
    rate, cpu_ms = measured(options, base, questions, None)
    most = options.concurrency / options.latency
    print(f"    {rate / most:.0%} of {most:.0f}/s, which latency and concurrency allow")
    limit = int(rate * 60 * options.of)
    limited, _ = measured(options, base, questions, limit)
    print(f"    {limited * 60 / limit:.1%} of the limiter's {limit} requests per minute")
    alone = bare(options, litellm, base, questions[: max(options.questions // 10, 1)])
    print(f"litellm alone: {alone:.2f} ms CPU per request; with us {cpu_ms / alone:.2f} times that")


def measured(
    options: argparse.Namespace, base: str, questions: list[Question], limit: int | None
) -> tuple[float, float]:
    """Requests per second, ms of CPU for one.  Prints them and what came of the questions."""
    spec = ModelSpec(
        api_base=base, concurrency=options.concurrency, requests_per_minute=limit, timeout_s=30
    )
    refiner = ClaudeRefiner(
        spec, parse_model(spec.name), Secret(KEY), say=print, patience=Patience(backoff_s=0.1)
    )

    async def run() -> list[Reply | BaseException]:
        try:
            return await asyncio.gather(*map(refiner.ask, questions), return_exceptions=True)
        finally:
            await refiner.close()

    cpu_s, wall_s = time.process_time(), time.perf_counter()
    replies = asyncio.run(run())
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    answered = [reply for reply in replies if isinstance(reply, Reply)]
    requests = sum(reply.tries for reply in answered)
    print(
        f"{'limit ' + str(limit) if limit else 'no limit'}: {len(answered)} of {len(questions)}"
        f" answered with {requests} requests in {wall_s:.1f} s: {requests / wall_s:.0f}/s,"
        f" {cpu_s / requests * 1000:.2f} ms CPU per request, peak {peak_mib():.0f} MiB"
    )
    return requests / wall_s, cpu_s / requests * 1000


def bare(options: argparse.Namespace, litellm: Any, base: str, questions: list[Question]) -> float:
    """ms of CPU for a request of litellm's, errors counted as requests."""

    async def one(places: asyncio.Semaphore, asked: Question) -> None:
        async with places:
            with contextlib.suppress(litellm.APIError):
                await litellm.acompletion(
                    model=ModelSpec().name, messages=messages(asked), max_tokens=8000,
                    api_key=KEY, api_base=base, num_retries=0, max_retries=0, timeout=30,
                )  # fmt: skip

    async def run() -> None:
        places = asyncio.Semaphore(options.concurrency)
        await asyncio.gather(*(one(places, asked) for asked in questions))
        await litellm.close_litellm_async_clients()

    cpu_s = time.process_time()
    asyncio.run(run())
    return (time.process_time() - cpu_s) / len(questions) * 1000


def question(number: int) -> Question:
    system = (Part("Mend the program. " * 50, stable=True),)
    user = (Part(f"Task {number}.\n{CODE}"),)
    return Question(
        key=question_key(system, user, SCHEMA),
        system=system,
        user=user,
        schema=SCHEMA,
        task_id=str(number),
        code=CODE,
        attempt=1,
        strategy="comprehensive",
        verdict="wrong_answer",
    )


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
