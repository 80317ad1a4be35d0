"""Fifty accepted programs as MCP servers, each started and called by the official client.

    python benchmarks/mcp_servers.py [--tasks 50] [--corpus HumanEval.jsonl.gz]

A run of HumanEval's canonical solutions, one server for each of them, and one with all.  Every
server is called with everything that its program was validated with, before it is registered.
Prints how many did what they say, and what starting and calling costs: a call through a warm
server, beside the same call given to the sandbox directly.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from hpc_runner.export.mcp.calls import call
from hpc_runner.export.mcp.exporting import Exported, Options, export_run_tools
from hpc_runner.export.mcp.sandbox import Sandbox
from hpc_runner.export.mcp.tools import Tool
from hpc_runner.rundir import RunDir
from hpc_runner.sandbox.local import base_interpreter

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "HumanEval.jsonl.gz"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpc-runner-bench-") as scratch:
        run = RunDir(Path(scratch) / "run")
        validated(run, options.corpus, options.tasks)
        alone = told("one server each", run, Path(scratch) / "alone", Options())
        together = told("one with all", run, Path(scratch) / "all", Options(bundle=True))
        costs(together)
        return 1 if alone.failed or together.failed else 0


def validated(run: RunDir, corpus: Path, tasks: int) -> None:
    argv = [sys.executable, "-m", "hpc_runner", "run", corpus, "--format", "humaneval"]
    argv += ["--limit", tasks, "--runtime", "local", "--out", run.root, "--quiet"]
    began = time.perf_counter()
    environment = {**os.environ, "HPC_RUNNER_CACHE": "off"}
    subprocess.run([*map(str, argv)], check=True, env=environment, stdout=subprocess.DEVNULL)
    print(f"{tasks} programs validated in {time.perf_counter() - began:.1f} s")


def told(what: str, run: RunDir, out: Path, options: Options) -> Exported:
    began = time.perf_counter()
    made = export_run_tools(run, out, options)
    took_s = time.perf_counter() - began
    calls = sum(len(tool.examples) for tool in made.tools)
    checked = sum(example.validated for tool in made.tools for example in tool.examples)
    print(
        f"{what}: {len(made.servers)} servers with {len(made.tools)} tools, {calls} calls over"
        f" stdio gave what was seen, {checked} of them what the tests say, in {took_s:.1f} s;"
        f" {len(made.failed)} failed, {made.merged} merged, {len(made.no_tool)} no tool"
    )
    for name, reason in [*made.no_tool.items(), *((n, w[0]) for n, w in made.failed.items())]:
        print(f"  {name[:12]}: {reason}")
    return made


def costs(made: Exported) -> None:
    ((directory, server),) = made.servers
    (package,) = (directory / "src").iterdir()
    start_s, through = anyio.run(over_stdio, package, server.tools)
    direct = in_sandbox(server.tools)
    print(f"a server starts and lists its tools in {start_s:.2f} s")
    print(
        f"a call: {through * 1e3:.1f} ms through the server, {direct * 1e3:.1f} ms in the sandbox"
        f" alone ({through / direct:.2f} x), medians of {len(server.tools)} tools"
    )


async def over_stdio(package: Path, tools: tuple[Tool, ...]) -> tuple[float, float]:
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", package.name], env={"PYTHONPATH": str(package.parent)}
    )
    began = time.perf_counter()
    async with Client(parameters) as client:
        await client.list_tools()
        start_s = time.perf_counter() - began
        await client.call_tool(tools[0].name, tools[0].examples[0].arguments)  # starts the agent
        times = []
        for tool in tools:
            began = time.perf_counter()
            answer: Any = await client.call_tool(tool.name, tool.examples[0].arguments)
            times.append(time.perf_counter() - began)
            assert not answer.is_error, answer
    return start_s, statistics.median(times)


def in_sandbox(tools: tuple[Tool, ...]) -> float:
    place = Sandbox(base_interpreter(), "limits")
    try:
        call(tools[0], tools[0].examples[0].arguments, place)
        times = []
        for tool in tools:
            began = time.perf_counter()
            call(tool, tool.examples[0].arguments, place)
            times.append(time.perf_counter() - began)
        return statistics.median(times)
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
