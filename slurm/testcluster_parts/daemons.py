"""The daemons of a private cluster: how each is started, and when it is ready."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
from dataclasses import asdict
from pathlib import Path

from testcluster_parts.configs import Options, configs
from testcluster_parts.processes import (
    CGROUPS,
    CONTROLLERS,
    MARK,
    Processes,
    Trouble,
    wait_until,
)

PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
START_S = 60
TABLES = Path("/usr/share/mysql")


class Cluster:
    """The cluster in ``root``; cluster.json holds what it was started with."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self.conf = self.root / "slurm.conf"
        self.processes = Processes(self.root)
        self._marker = self.root / "cluster.json"
        self.options: Options | None = None
        if self._marker.exists():
            told = json.loads(self._marker.read_text())
            self.options = Options(**{**told, "settings": tuple(told["settings"])})

    @property
    def known(self) -> Options:
        if self.options is None:
            raise Trouble(f"no test cluster in {self.root}; `up` starts one", 2)
        return self.options

    def daemons(self) -> list[str]:
        """Name of each daemon that should run, in the order of their start."""
        database = ["mariadbd", "slurmdbd"] if self.known.accounting else []
        nodes = [f"slurmd-{name}" for name in self.known.names]
        return ["munged", *database, "slurmctld", *nodes]

    def pid(self, daemon: str) -> int | None:
        """Of a daemon that lives."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file(daemon).read_text())
            return pid if self.processes.is_daemon(pid) else None
        return None

    def begin(self, options: Options) -> None:
        """Start all of it in a directory that holds nothing else; returns when it takes jobs."""
        for attempt in range(3):
            self.remove()
            self.options = options.on(free_ports(options.nodes + 2))
            self._marker.write_text(json.dumps(asdict(self.options)))
            try:
                self._write(self.options)
                for daemon in self.daemons():
                    self.start(daemon, fresh=True)
                self.wait_for_nodes(options.names)
                return
            except Trouble as trouble:
                # Somebody else may have taken a port since it was found free.
                if "already in use" not in str(trouble) or attempt == 2:
                    raise

    def remove(self) -> None:
        """End every process of the cluster and remove all that is in ``root``."""
        if self.options is not None:
            for daemon in ("slurmctld", "slurmdbd", "mariadbd"):
                self.processes.end([self.pid(daemon)])
        self.processes.kill()
        self.processes.remove_groups()
        for entry in self.root.iterdir() if self.root.exists() else ():
            if entry != self._marker:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self._marker.unlink(missing_ok=True)

    def start(self, daemon: str, *, fresh: bool = False) -> None:
        """Start one daemon; returns when it can be spoken to."""
        self._pid_file(daemon).unlink(missing_ok=True)
        name, _, node = daemon.partition("-")
        command = {
            "munged": self._munged(),
            "mariadbd": [*self._mariadbd(), f"--pid-file={self._pid_file(daemon)}"],
            "slurmdbd": ["slurmdbd"],
            "slurmctld": ["slurmctld", *(["-i"] if fresh else [])],
            "slurmd": ["slurmd", "-N", node],
        }[name]
        enter = (lambda: self.processes.enter(node)) if self.known.cgroups else None
        with (self.root / "log" / f"{daemon}.out").open("ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.root,
                env=self._environment(),
                start_new_session=True,
                preexec_fn=enter,
            )

        def started() -> bool:
            # A daemon forks, and its parent ends with 0.
            if process.poll():
                raise Trouble(f"{daemon} ended at once{self._log(daemon)}")
            return self.pid(daemon) is not None and self._listens(name)

        wait_until(started, START_S, lambda: f"{daemon} does not start{self._log(daemon)}")

    def run(self, *command: str) -> str:
        """stdout of a Slurm command, "" when it fails; never waits for a dead controller."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command,
                env=self._environment(),
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
            if done.returncode == 0:
                return done.stdout
        return ""

    def wait_for_controller(self) -> None:
        def message() -> str:
            return f"slurmctld is silent{self._log('slurmctld')}"

        wait_until(lambda: "UP" in self.run("scontrol", "ping"), START_S, message)

    def wait_for_nodes(self, names: list[str]) -> None:
        """Until Slurm takes jobs for them."""
        good = re.compile(r"(\w+) (idle|mixed|allocated|completing)$")

        def ready() -> bool:
            states = self.run("sinfo", "-hN", "-n", ",".join(names), "-o", "%N %T").splitlines()
            for drained in (line.split()[0] for line in states if " drain" in line):
                # A kill that took slurmd too long on a busy machine.
                self.run("scontrol", "update", f"NodeName={drained}", "State=RESUME")
            return {found[1] for found in map(good.match, states) if found} == set(names)

        wait_until(ready, START_S, lambda: "the nodes are not idle:\n" + self.run("sinfo", "-NR"))

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        database = {"MYSQL_UNIX_PORT": f"{self.root}/run/mariadb.sock"}
        return {
            **kept,
            **database,
            "PATH": PATH,
            MARK: f"{self.root}",
            "SLURM_CONF": f"{self.conf}",
        }

    def _listens(self, name: str) -> bool:
        """False for a database that doesn't answer yet; the others wait for each other."""
        with contextlib.suppress(OSError):
            if name == "slurmdbd":
                socket.create_connection(("127.0.0.1", self.known.dbd_port), 1).close()
            elif name == "mariadbd":
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(f"{self.root}/run/mariadb.sock")
            return True
        return False

    def _pid_file(self, daemon: str) -> Path:
        return self.root / "run" / f"{daemon}.pid"

    def _log(self, daemon: str) -> str:
        """The end of what a daemon wrote, indented."""
        lines = []
        for suffix in ("out", "log"):
            with contextlib.suppress(OSError):
                text = (self.root / "log" / f"{daemon}.{suffix}").read_text(errors="replace")
                lines += text.splitlines()[-8:]
        return "".join(f"\n    {line}" for line in lines)

    def _munged(self) -> list[str]:
        return [
            "munged",
            "--force",  # a path that only root may enter is fine here
            "--num-threads=2",
            f"--key-file={self.root}/munge.key",
            f"--socket={self.root}/run/munge.sock",
            f"--seed-file={self.root}/run/seed",
            f"--pid-file={self._pid_file('munged')}",
            f"--log-file={self.root}/log/munged.log",
        ]

    def _mariadbd(self) -> list[str]:
        return [
            "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={self.root}/db",
            f"--socket={self.root}/run/mariadb.sock",
            "--skip-networking",
            "--skip-grant-tables",
            "--innodb-lock-wait-timeout=900",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
        ]

    def _write(self, options: Options) -> None:
        """Everything that the daemons read."""
        for name in (
            "run",
            "log",
            "state",
            "spool",
            "cgroup",
            *(f"spool/{n}" for n in options.names),
        ):
            (self.root / name).mkdir(mode=0o755)
        for controller in CONTROLLERS if options.cgroups else ():
            group = CGROUPS / controller / self.processes.group
            group.mkdir(exist_ok=True)
            (self.root / "cgroup" / controller).symlink_to(group)
        host = socket.gethostname().partition(".")[0]
        name = self.processes.group.replace("-", "")
        files = {"munge.key": os.urandom(128)}
        files |= {n: text.encode() for n, text in configs(options, self.root, name, host).items()}
        for file, content in files.items():
            path = self.root / file
            path.touch(mode=0o644 if file in ("slurm.conf", "cgroup.conf") else 0o600)
            path.write_bytes(content)
        if options.accounting:
            self._make_database()

    def _make_database(self) -> None:
        """An empty one; Debian's own program for it is in a larger package."""
        (self.root / "db").mkdir(mode=0o700)
        statements = "CREATE DATABASE mysql;\nUSE mysql;\n"
        statements += (TABLES / "mysql_system_tables.sql").read_text()
        done = subprocess.run(
            [*self._mariadbd(), "--bootstrap", f"--lc-messages-dir={TABLES}/english"],
            input=statements,
            text=True,
            capture_output=True,
            env=self._environment(),
            check=False,
        )
        if done.returncode:
            raise Trouble(f"mariadbd can't make its database:\n{done.stderr[-2000:]}")


def free_ports(count: int) -> int:
    """The first of ``count`` adjoining ports that nobody listens on, below the ephemeral ones."""
    for _ in range(200):
        first = random.randrange(15000, 32000 - count)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("", port))
            return first
    raise Trouble("no free ports between 15000 and 32000")
