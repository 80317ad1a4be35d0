"""The faults, a row each: what is done to a run, and when.

A fault is injected while the run goes on.  It returns False when the run had ended before there
was anything to do it to; then it doesn't count.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from disturbed import Disturbed, children

Inject = Callable[[Disturbed, random.Random], bool]
HOURS = (-30.0, -3.0, 3.0, 30.0)


def until(run: Disturbed, condition: Callable[[], object]) -> bool:
    """Wait for it; False when the run ends first."""
    while not run.over:
        if condition():
            return True
        time.sleep(0.05)
    return False


def at_a_moment(run: Disturbed, rng: random.Random) -> bool:
    """While the first workers start, while they work, or while the last ones do."""
    moment = rng.choice(("start", "middle", "middle", "late"))
    if moment == "start":
        found = until(run, run.workers)
    elif moment == "middle":
        found = until(run, lambda: run.judged() >= 2)
    else:
        found = until(run, lambda: run.finished() >= 2)
    time.sleep(rng.uniform(0.0, 1.5))
    return found and not run.over


def kill(pids: Sequence[int], number: int = signal.SIGKILL) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_worker(run: Disturbed, rng: random.Random) -> bool:
    if not until(run, run.workers):
        return False
    found = run.workers()
    kill([rng.choice(found)] if found else [])
    return bool(found)


def kill_agent(run: Disturbed, rng: random.Random) -> bool:
    if not until(run, lambda: children(run.workers())):
        return False
    found = children(run.workers())
    kill([rng.choice(found)] if found else [])
    return bool(found)


def kill_container(run: Disturbed, rng: random.Random) -> bool:
    """Its first process, behind the engine's back."""
    if not until(run, lambda: containers(run)):
        return False
    found = containers(run)
    if not found:
        return False
    words = ["docker", "inspect", "--format={{.State.Pid}}", rng.choice(found)]
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    pid = int(asked.stdout or 0) if asked.returncode == 0 else 0
    kill([pid] if pid else [])
    return bool(pid)


def containers(run: Disturbed) -> list[str]:
    """Those of the run's workers, by whose pids they are named."""
    names = [f"--filter=name=-{pid}-" for pid in run.workers()]
    if not names:
        return []
    words = ["docker", "ps", "--quiet", *names]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()


def time_is_up(run: Disturbed, _rng: random.Random) -> bool:
    """The shard takes longer than its array task may: Slurm warns it, and ends what doesn't
    stop."""
    return until(run, lambda: any(attempt > 0 for attempt in run.restarts()))


def kill_step(run: Disturbed, rng: random.Random) -> bool:
    """slurmstepd of a worker, so that nobody tells Slurm of its end."""
    if not until(run, run.workers):
        return False
    parents = []
    for pid in run.workers():
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            parents.append(int(stat[1]))
    parents = [pid for pid in parents if pid > 1 and _name(pid).startswith("slurmstepd")]
    kill([rng.choice(parents)] if parents else [])
    return bool(parents)


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def kill_coordinator(run: Disturbed, rng: random.Random) -> bool:
    if run.chain:
        if not until(run, lambda: run.coordinators("RUNNING")):
            return False
        time.sleep(rng.uniform(0.0, 2.0))
        jobs = run.coordinators("RUNNING")
        if jobs:
            run.cluster.run("scancel", "--signal=KILL", "--full", jobs[0])
        return bool(jobs)
    if run.coordinator is None or run.coordinator.poll() is not None:
        return False
    kill([run.coordinator.pid])
    return True


def stop_coordinator(run: Disturbed, _rng: random.Random) -> bool:
    """As by Ctrl-C: it has the workers commit and stop; somebody resumes."""
    if run.chain or run.coordinator is None or run.coordinator.poll() is not None:
        return False
    kill([run.coordinator.pid], signal.SIGTERM)
    return True


def node_dies(run: Disturbed, rng: random.Random) -> bool:
    """slurmd with all that it runs; it is back some seconds later."""
    if not until(run, lambda: run.array_tasks("RUNNING")):
        return False
    nodes = sorted({node for _, _, node in run.array_tasks("RUNNING")})
    if not nodes:
        return False
    node = rng.choice(nodes)
    run.cluster.control("kill-node", node)
    # Sometimes before Slurm knows that it died.
    time.sleep(rng.choice((1.0, 15.0)))
    run.cluster.control("start-node", node)
    return True


def controller_dies(run: Disturbed, _rng: random.Random) -> bool:
    run.cluster.control("restart-controller", "--kill")
    return True


def preempted(run: Disturbed, rng: random.Random) -> bool:
    """A job of higher priority wants all of a node."""
    if not until(run, lambda: run.array_tasks("RUNNING")):
        return False
    nodes = sorted({node for _, _, node in run.array_tasks("RUNNING")})
    if not nodes:
        return False
    wanted = ("-p", "hi", "-w", rng.choice(nodes), "-c", "8", "-o", "/dev/null")
    run.cluster.sbatch(*wanted, "--wrap", "sleep 1")
    return True


def time_is_nearly_up(run: Disturbed, rng: random.Random) -> bool:
    """What Slurm sends before the time limit."""
    return _scancel_one(run, rng, "--signal=USR2")


def cancel_task(run: Disturbed, rng: random.Random) -> bool:
    return _scancel_one(run, rng)


def _scancel_one(run: Disturbed, rng: random.Random, *options: str) -> bool:
    if not until(run, lambda: run.array_tasks("RUNNING")):
        return False
    found = run.array_tasks("RUNNING")
    return bool(found) and run.cluster.does("scancel", *options, rng.choice(found)[0])


def cancel_array(run: Disturbed, _rng: random.Random) -> bool:
    if not until(run, run.array_tasks):
        return False
    found = {job.partition("_")[0] for job, _, _ in run.array_tasks()}
    return bool(found) and run.cluster.does("scancel", *sorted(found))


def disk_is_full(run: Disturbed, rng: random.Random) -> bool:
    ballast = run.where / "ballast"
    run.free.clear()
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        time.sleep(rng.uniform(2.0, 6.0))
    finally:
        ballast.unlink()
        run.free.set()
    return True


def read_only(run: Disturbed, rng: random.Random) -> bool:
    """What is open stays so; nothing new can be opened for writing."""
    where = str(run.where)
    run.free.clear()
    subprocess.run(["mount", "--bind", where, where], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", where], check=True)
        time.sleep(rng.uniform(2.0, 6.0))
    finally:
        subprocess.run(["umount", "-l", where], check=True)
        run.free.set()
    return True


def times_jump(run: Disturbed, rng: random.Random) -> bool:
    """The times of all files of the run are hours off, as after a jump of a server's clock."""
    off_s = rng.choice(HOURS) * 3600
    for path in run.run.root.rglob("*"):
        with contextlib.suppress(OSError):
            seen = path.stat()
            os.utime(path, (seen.st_atime + off_s, seen.st_mtime + off_s))
    return True


def clock_jumps(run: Disturbed, rng: random.Random) -> bool:
    """The coordinator dies and comes back with a clock that is hours off."""
    if run.chain:
        return False
    run.clock_s = rng.choice(HOURS) * 3600
    return kill_coordinator(run, rng)


def second_coordinator(run: Disturbed, _rng: random.Random) -> bool:
    """It has to leave the run alone, and to say so."""
    before = run.coordinator
    if run.chain or before is None or not until(run, lambda: run.run.lock_numbers()):
        return False
    process = run.victim()
    code = process.wait(180)
    same = before is run.coordinator and before.poll() is None
    if same and code == 0 and not run.run.summary.exists():
        run.trouble = "two coordinators at once"
    return True


def frozen_coordinator(run: Disturbed, _rng: random.Random) -> bool:
    """It shows no life for so long that one on another host takes over; then it comes back."""
    if run.chain or run.coordinator is None or not until(run, lambda: run.run.lock_numbers()):
        return False
    frozen = run.coordinator
    kill([frozen.pid], signal.SIGSTOP)
    try:
        words = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
        with run.log.open("ab") as log:
            other = subprocess.Popen(
                [*words, *map(str, frozen.args)],  # type: ignore[union-attr]
                env={**run.cluster.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        numbers = run.run.lock_numbers()
        while other.poll() is None and run.run.lock_numbers() == numbers:
            time.sleep(0.2)
        time.sleep(3)
    finally:
        kill([frozen.pid], signal.SIGCONT)
    other.wait(300)
    return True


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Inject
    times: int
    """In ``make chaos``."""
    chain: bool = True
    """Whether it means something where the coordinator is a job, too."""
    last: bool = False
    """It takes so long that the run has ended before others come after it."""
    kind: str = ""
    """Of the run, where that has to be another one."""


FAULTS = (
    Fault("a worker is killed", kill_worker, 8),
    Fault("an agent is killed", kill_agent, 8),
    Fault("a container is killed", kill_container, 6, kind="docker"),
    Fault("the time limit is reached", time_is_up, 1, chain=False, kind="short"),
    Fault("a slurmstepd is killed", kill_step, 3),
    Fault("the coordinator is killed", kill_coordinator, 8),
    Fault("the coordinator is told to stop", stop_coordinator, 3, chain=False),
    Fault("a node dies and comes back", node_dies, 4),
    Fault("slurmctld is killed and comes back", controller_dies, 5),
    Fault("preempted", preempted, 4),
    Fault("the time is nearly up", time_is_nearly_up, 4),
    Fault("scancel of an array task", cancel_task, 5),
    Fault("scancel of the array", cancel_array, 4),
    Fault("the disk is full", disk_is_full, 4),
    Fault("the run directory is read-only", read_only, 4),
    Fault("times of files jump", times_jump, 5),
    Fault("the coordinator's clock jumps", clock_jumps, 3, chain=False),
    Fault("two coordinators", second_coordinator, 4, chain=False),
    Fault("a frozen coordinator is replaced", frozen_coordinator, 2, chain=False, last=True),
)
