"""Starts an agent, has it work, and waits to be killed.  Reads {"argv", "env"} from stdin."""

from __future__ import annotations

import json
import signal
import sys

from hpc_runner.sandbox.client import Agent

given = json.load(sys.stdin)
agent = Agent(given["argv"], given["env"])
agent.submit(
    {"op": "run", "id": 1, "code": "import time\ntime.sleep(600)\n", "tests": {"kind": "none"},
     "limits": {"wall_s": 600}}
)  # fmt: skip
print("up", flush=True)
signal.pause()
