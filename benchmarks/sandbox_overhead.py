"""What each layer of isolation costs per execution.

    python benchmarks/sandbox_overhead.py [--quick] [--rounds N] [--only NAME ...]

Layers are added one after the other to the same warm interpreter, from a bare fork of it to
everything that the agent does.  Each is an agent of its own, built from the product's parts
with a ``Plan`` that leaves something out; all of them are started first and then take turns,
forwards and backwards, so that what the machine does meanwhile meets all of them.  Two loads:
a program of one assignment, and HumanEval's canonical solutions with their tests.

CPU time is what to look at on a shared machine: of the agent and all that it starts, by the
cgroup's accounting where there is one (v1), else by /proc.  Ratios are the bare fork's CPU
time over a layer's, of the same round; faults are page faults per execution.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "HumanEval.jsonl.gz"

LAYERS = (
    ("bare fork", "fork, compile, run, wait"),
    ("protocol", "+ requests, pipes, process limits, results"),
    ("seccomp", "+ no_new_privs and a system call filter"),
    ("landlock", "+ Landlock"),
    ("namespaces", "+ net, ipc, uts, mount and a root of the slot"),
    ("tmpfs", "+ a file system for each execution"),
    ("pid", "+ a pid namespace for each execution"),
    ("setuid", "+ another user: all that root gets"),
    ("user", "all that an ordinary user gets"),
    ("split", "setuid, and the split judge"),
    ("fresh", "setuid, and a fresh interpreter for each execution"),
)
"""Name and what it means; up to ``setuid`` each one adds to the one before."""
PLANS = tuple(name for name, _ in LAYERS[1:9])


# ------------------------------------------------------------------------- in the agents


def bare_fork() -> NoReturn:
    """The floor, spoken to like an agent: forks itself for each request, and no more."""
    from hpc_runner.sandbox import agent

    for name in agent.PRELOAD:
        __import__(name)
    say({"op": "hello", "protocol": agent.PROTOCOL, "agent": "", "python": "", "kernel": "",
         "host": "", "slots": 1, "isolation": "none", "mechanisms": [], "missing": {}})  # fmt: skip
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            status = 1
            with contextlib.suppress(BaseException):
                names: dict[str, Any] = {"__name__": "solution"}
                tests = request["tests"]
                for code in (request["code"], tests.get("code", ""), *tests.get("cases", ())):
                    exec(compile(code, "program", "exec"), names)  # noqa: S102
                status = 0
            os._exit(status)
        accepted = os.waitpid(pid, 0)[1] == 0
        verdict = "accepted" if accepted else "wrong_answer"
        say({"op": "result", "id": request["id"], "verdict": verdict})
    sys.exit()


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


ZYGOTE = """
import marshal, os, sys
code = marshal.loads(os.pread(4, os.fstat(4).st_size, 0))
os.close(4)
agent = {"__name__": "agent", "__file__": sys.argv[1], "__builtins__": __builtins__}
exec(code, agent)

class Zygote(agent["Zygote"]):
    def _rehearse(self):
        if "pid" not in have:
            self._own_pid_namespace = -1
        if "namespaces" in have and "tmpfs" not in have:
            agent["_mount"]("box", self._plan.box, "tmpfs", 0, "mode=755")
        super()._rehearse()

    def _make_box(self, size):
        if "tmpfs" in have:
            super()._make_box(size)
            return
        for name in ("work", "tmp", "shm"):
            os.mkdir(self._plan.box + "/" + name, 0o1777)

    def _clear_box(self):
        if "tmpfs" in have:
            super()._clear_box()
            return
        for name in os.listdir(self._plan.box):
            agent["remove_tree"](self._plan.box + "/" + name)

agent["Zygote"] = Zygote
agent["become_zygote"]()
"""
"""What a slot's zygote runs instead of ``agent.BOOT``, after ``have``: the agent as it is, but
for the layers that are left out."""


def layered_agent(layer: str) -> NoReturn:
    """The product's agent under a plan that stops at ``layer``."""
    from hpc_runner.sandbox import agent

    have = PLANS[: PLANS.index(layer) + 1]

    def make_plans(*arguments: Any) -> list[agent.Plan]:
        plans = complete(*arguments)
        wanted = agent.CLONE_NEWUSER if layer == "user" else 0
        if "namespaces" in have:
            fitting = [
                plan
                for plan in plans
                if plan.namespaces and plan.namespaces & agent.CLONE_NEWUSER == wanted
            ]
        else:
            fitting = [plan for plan in plans if not plan.namespaces]
        if not fitting:
            raise OSError("such a plan can't be had here")
        plan = fitting[0]
        if layer not in ("setuid", "user"):
            plan.root = False
        if "landlock" not in have:
            plan.landlock = 0
        if "seccomp" not in have:
            plan.seccomp = None
        plan.mechanisms = list(have)
        return [plan]

    complete = agent.make_plans
    vars(agent).update(BOOT=f"have = {have!r}\n{ZYGOTE}", make_plans=make_plans)
    sys.argv[1:] = ["--slots", "1"]
    sys.exit(agent.main())


# ------------------------------------------------------------------------------ measured


@dataclass
class Figures:
    """Of one load, one figure for each round."""

    cpu_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    faults: list[float] = field(default_factory=list)


@dataclass
class Layer:
    name: str
    meaning: str
    run: Callable[[list[dict[str, Any]]], int]
    """Runs the requests one after the other; how many were accepted."""
    usage: Callable[[], tuple[float, int]]
    """CPU seconds and page faults of the layer's processes so far."""
    figures: dict[str, Figures] = field(default_factory=dict)


def tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from tree(int(child))


class Accounting:
    """CPU seconds and minor page faults of a process and all that it has waited for."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._group: Path | None = None
        group = Path(f"/sys/fs/cgroup/cpuacct/hpc_runner-bench-{pid}")
        try:
            group.mkdir()
            for member in tree(pid):
                (group / "cgroup.procs").write_text(str(member))
            self._group = group
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()

    def __call__(self) -> tuple[float, int]:
        ticks = faults = 0
        for pid in tree(self._pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
            faults += int(fields[7]) + int(fields[8])
        if self._group is None:
            return ticks / os.sysconf("SC_CLK_TCK"), faults
        return int((self._group / "cpuacct.usage").read_text()) / 1e9, faults

    def close(self) -> None:
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()


@contextlib.contextmanager
def opened(name: str, meaning: str) -> Iterator[Layer]:
    """A layer's agent, running.  Raises ``HpcRunnerError`` when it can't be had here."""
    from hpc_runner.sandbox.client import Agent
    from hpc_runner.sandbox.local import base_interpreter

    kind = "setuid" if name in ("split", "fresh") else name
    argv = [base_interpreter(), "-I", "-B", str(Path(__file__).resolve()), "--agent", kind]
    agent = Agent(argv, {"PATH": os.environ.get("PATH", os.defpath)}, start_s=30)
    accounting = Accounting(agent._process.pid)

    def run(requests: list[dict[str, Any]]) -> int:
        accepted = waiting = 0
        todo = iter(requests)
        while True:
            while waiting < 2 and (request := next(todo, None)) is not None:
                judge = "split" if name == "split" else "inline"
                agent.submit({**request, "judge": judge, "fresh": name == "fresh"})
                waiting += 1
            if not waiting:
                return accepted
            for answer in agent.answers(60):
                accepted += answer.get("verdict") == "accepted"
                waiting -= 1

    try:
        yield Layer(name, meaning, run, accounting)
    finally:
        agent.close()
        accounting.close()


def requests_of(programs: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"op": "run", "limits": {}, "env": {}, "every": False}
    return [
        {**common, "id": number, "code": code, "tests": tests}
        for number, (code, tests) in enumerate(programs)
    ]


def human_eval(path: Path) -> list[dict[str, Any]]:
    from hpc_runner.corpus.readers import Sample, open_corpus

    samples = [item.candidate for item in open_corpus([path]) if isinstance(item, Sample)]
    return requests_of([(c.code, c.tests.model_dump(mode="json")) for c in samples])


TRIVIAL: dict[str, Any] = {
    "kind": "assertions", "code": "", "cases": ["assert f(1) == 2"], "entry_point": "f",
}  # fmt: skip


def measure(layer: Layer, load: str, requests: list[dict[str, Any]], *, keep: bool) -> None:
    """One turn.  Raises RuntimeError when not everything was accepted: the figure is void."""
    cpu_s, faults = layer.usage()
    started = time.perf_counter()
    accepted = layer.run(requests)
    seconds = time.perf_counter() - started
    if accepted != len(requests):
        raise RuntimeError(f"{layer.name}, {load}: {accepted} of {len(requests)} accepted")
    later_s, later_faults = layer.usage()
    if keep:
        figures = layer.figures.setdefault(load, Figures())
        figures.cpu_ms.append(1000 * (later_s - cpu_s) / len(requests))
        figures.rate.append(len(requests) / seconds)
        figures.faults.append((later_faults - faults) / len(requests))


def containers(image: str, count: int) -> list[float]:
    """Wall milliseconds of ``docker run`` for the trivial program, where an engine has an image."""
    taken = []
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", image]
    for _ in range(count):
        started = time.perf_counter()
        subprocess.run([*command, "-I", "-c", "x = 1"], check=True, capture_output=True)
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def show(layers: list[Layer], load: str, count: int) -> None:
    floor = layers[0].figures[load]
    print(f"\n{load}, {count} executions a turn, {len(floor.cpu_ms)} turns")
    print(
        f"{'':11} {'CPU ms':>7} {'more':>6} {'ratio: min/median/max':>22} {'/s':>6} {'faults':>7}"
    )
    before = 0.0
    for layer in layers:
        figures = layer.figures[load]
        cpu = statistics.median(figures.cpu_ms)
        ratios = [base / own for base, own in zip(floor.cpu_ms, figures.cpu_ms, strict=True)]
        spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
        print(
            f"{layer.name:11} {cpu:7.2f} {cpu - before:+6.2f} {spread:>22} "
            f"{statistics.median(figures.rate):6.0f} {statistics.median(figures.faults):7.0f}"
            f"  {layer.meaning}"
        )
        if layer.name in PLANS[:-1] or not before:
            before = cpu  # the layers after that are compared with the whole of what root gets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="3 rounds of fewer programs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these and the bare fork")
    parser.add_argument("--corpus", type=Path, default=DATA, help="HumanEval.jsonl.gz")
    parser.add_argument("--image", help="container image with python3, for docker run")
    parser.add_argument("--agent", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.agent == "bare fork":
        bare_fork()
    if options.agent:
        layered_agent(options.agent)
    loads = {"trivial": requests_of([("def f(x):\n    return x + 1\n", TRIVIAL)] * 200)}
    if options.corpus.exists():
        loads["HumanEval"] = human_eval(options.corpus)
    if options.quick:
        loads = {name: requests[:40] for name, requests in loads.items()}
    rounds = 3 if options.quick else options.rounds
    with contextlib.ExitStack() as stack:
        layers, absent = [], []
        for name, meaning in LAYERS:
            if options.only and name not in ("bare fork", *options.only):
                continue
            try:
                layers.append(stack.enter_context(opened(name, meaning)))
            except Exception as error:
                absent.append(f"{name}: not measured: {error}")
        for turn in range(rounds + 1):
            for layer in layers if turn % 2 else layers[::-1]:
                for load, requests in loads.items():
                    measure(layer, load, requests, keep=turn > 0)  # the first one warms up
        for load, requests in loads.items():
            show(layers, load, len(requests))
    if options.image:
        taken = containers(options.image, 5)
        print(f"\ndocker run, the trivial program: median {statistics.median(taken):.0f} ms (wall)")
    print(*absent, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

HERE = Path(__file__).resolve().parent
