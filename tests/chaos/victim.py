"""A coordinator on a real cluster that can be hurt: ``victim.py CORPUS RUN PROFILE [--option]``.

It plans the run if that hasn't been done and coordinates it to the end, as ``hpc-runner run``
does, but looks at the queue more often.  Exit code 0: the run is complete.

    --clock S         the wall clock of this process is S seconds off
    --die SEEN        it is killed (as by kill -9) before each kind of step that it hasn't been
                      killed before, as the file SEEN tells, and begins again until it ends;
                      what it was killed before is added to SEEN, a line each
    --share P         ... before this share of the kinds, drawn by --seed
    --seed N

Steps are the changes that it makes to the run directory, and the commands that it starts.  The
interpreter's audit events tell of them, so that the product holds no code for this.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hpc_runner.config import RunConfig
from hpc_runner.errors import HpcRunnerError
from hpc_runner.pipeline.coordinator import run_to_end
from hpc_runner.pipeline.profiles import Profile
from hpc_runner.pipeline.slurm_scheduler import SlurmScheduler
from hpc_runner.rundir import RunDir
from hpc_runner.session import prepare

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
IN_SUBMISSION_S = (0.2, 0.7, 1.5)
"""Into a submission: then it is killed, too."""
MOST_OF_A_KIND = 2
"""Then no more of a kind are told apart."""


class Tracer:
    """Kills this process before steps that aren't in the file ``seen``."""

    def __init__(self, root: Path, seen: Path, share: float, seed: int) -> None:
        self._root = f"{root}/"
        self._seen = seen
        self._share, self._seed = share, seed
        self._known = set(seen.read_text().splitlines()) if seen.exists() else set()
        self._counts: Counter[str] = Counter()
        self._asked = "the start"
        """The last command: an array is written before sbatch, and after it with its job id."""
        self._main = os.getpid()
        self._armed = True
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: Sequence[object]) -> None:
        if not self._armed or os.getpid() != self._main:
            return
        if event == "subprocess.Popen":
            name = _command(arguments[1])
        elif event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
            name = self._path(arguments[0])
        elif event in CHANGES:
            name = self._path(arguments[1 if event in ("os.rename", "os.link") else 0])
        else:
            return
        if name is None:
            return
        step = f"{event} {name} after {self._asked}"
        if event == "subprocess.Popen":
            self._asked = name
        self._counts[step] += 1
        self._step(f"{step} {min(self._counts[step], MOST_OF_A_KIND)}", 0.0)
        if name == "submission":
            for delay_s in IN_SUBMISSION_S:
                self._step(f"{delay_s} s into {name}", delay_s)

    def _path(self, path: object) -> str | None:
        """Of the run, without what differs each time."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        text = os.fsdecode(path)
        if not text.startswith(self._root):
            return None
        text = re.sub(r"\.?\d*-?[0-9a-f]{8,}(?=[./]|$)", "", text.removeprefix(self._root))
        return re.sub(r"(?<=lock/)\.?\d+(\.json)?", "N", text)

    def _step(self, name: str, delay_s: float) -> None:
        drawn = random.Random(f"{self._seed} {name}").random() < self._share
        if name in self._known or not drawn or not self._armed:
            return
        self._armed = False
        with self._seen.open("a") as file:
            file.write(f"{name}\n")
        if delay_s:
            threading.Timer(delay_s, os.kill, (self._main, signal.SIGKILL)).start()
        else:
            os.kill(self._main, signal.SIGKILL)
            time.sleep(60)  # killed here


def _command(words: object) -> str | None:
    if not isinstance(words, (list, tuple)):
        return None
    texts = [os.fsdecode(word) for word in words]
    if "-m" in texts:
        return texts[texts.index("-m") + 1].rpartition(".")[2]
    return Path(texts[0]).name


def coordinate(corpus: str, root: Path, profile: Path) -> int:
    run = RunDir(root)
    told = Profile.model_validate_json(profile.read_bytes())
    values = {"corpus": (corpus,), "runtime": told.runtime or "local", "shard_size": 12}
    config = RunConfig.parse({**values, "slots": told.cpus_per_task})
    try:
        prepare(run, config, told)
        scheduler = SlurmScheduler(run, told, poll_s=0.5)
        state = run_to_end(run, scheduler, on_change=lambda _: None, say=_say)
    except HpcRunnerError as error:
        _say(f"{type(error).__name__}: {error}")
        return error.exit_code
    _say(f"the run is {state.phase}")
    return 0 if state.phase == "done" else 130


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), os.getpid(), line, flush=True)


def again_and_again(options: argparse.Namespace) -> int:
    """The exit code of the first that isn't killed."""
    while True:
        child = os.fork()
        if child == 0:
            Tracer(options.run, options.die, options.share, options.seed)
            os._exit(coordinate(options.corpus, options.run, options.profile))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            return code
        _say("killed")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("run", type=Path)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--clock", type=float, default=0.0)
    parser.add_argument("--die", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.clock:
        right = time.time
        time.time = lambda: right() + options.clock
    if options.die:
        return again_and_again(options)
    return coordinate(options.corpus, options.run, options.profile)


if __name__ == "__main__":
    sys.exit(main())
