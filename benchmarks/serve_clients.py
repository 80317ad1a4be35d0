"""Many clients of `hpc-runner serve` at once: is an answer lost or mixed up, does memory grow?

    python benchmarks/serve_clients.py             # 200 clients for a minute
    python benchmarks/serve_clients.py --seconds 5

Each client sends one program after the other to /run, each prints another number, and checks
the answer.  Every tenth program fails and must fail as it should.  The memory of the service
and all that it started is read each second.  Exit code 1 for a lost or wrong answer, or when
memory grows by more than a tenth from the second third of the time to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx


def resident_mb(pid: int) -> float:
    """Of a process and its descendants: what is their own."""
    total, found = 0, [pid]
    for one in found:
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"Private_\w+: +(\d+) kB", text)))
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return total / 1024


async def client(http: httpx.AsyncClient, number: int, end: float, seen: Counter[str]) -> None:
    step = 0
    while time.monotonic() < end:
        step += 1
        value = number * 1_000_000 + step
        fails = step % 10 == 0
        code = f"raise ValueError({value})" if fails else f"print({value})"
        wanted = {"error": f"ValueError('{value}')"} if fails else {"output": f"{value}\n"}
        try:
            answer = await http.post("/run", json={"code": code})
        except httpx.HTTPError as error:
            seen[f"lost: {type(error).__name__}"] += 1
            continue
        seen["right" if answer.json() == wanted else f"wrong: {answer.text[:80]}"] += 1


async def watch(pid: int, end: float) -> list[float]:
    found = []
    while time.monotonic() < end:
        found.append(await asyncio.to_thread(resident_mb, pid))
        await asyncio.sleep(1)
    return found


async def load(
    url: str, pid: int, clients: int, seconds: float
) -> tuple[Counter[str], list[float]]:
    seen: Counter[str] = Counter()
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        work = [client(http, n, end, seen) for n in range(clients)]
        memory, *_ = await asyncio.gather(watch(pid, end), *work)
    return seen, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    words = ["serve", "--port", "0", "--runtime", "local", "--require-isolation", "limits"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpc_runner", *words, "--slots", str(options.slots)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = process.stderr.readline().rpartition(" ")[2].strip()
    seen, memory = asyncio.run(load(url, process.pid, options.clients, options.seconds))
    process.send_signal(signal.SIGTERM)
    process.communicate()
    third = max(1, len(memory) // 3)
    first, last = statistics.median(memory[third : 2 * third]), statistics.median(memory[-third:])
    rate = seen["right"] / options.seconds
    print(f"{options.clients} clients, {options.slots} slots, {options.seconds:g} s")
    print(f"{seen['right']:,} right answers ({rate:.0f}/s)")
    for what, count in seen.items():
        if what != "right":
            print(f"{count:,} {what}")
    print(f"memory: {first:.0f} MB in the second third, {last:.0f} MB in the last")
    print(f"exit code of the service: {process.returncode}")
    bad = set(seen) - {"right"} or last > 1.1 * first or process.returncode
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
