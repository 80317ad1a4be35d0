# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""Pins itself to one CPU, first in every queue, and the others last."""

import ctypes
import os

libc = ctypes.CDLL(None)
for what, call in (
    ("affinity", lambda: os.sched_setaffinity(0, {0})),
    ("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    ("the parent's niceness", lambda: os.setpriority(os.PRIO_PROCESS, os.getppid() or 1, 19)),
    ("the user's niceness", lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19)),
    ("the group's niceness", lambda: os.setpriority(os.PRIO_PGRP, 1, 19)),
    ("a negative niceness", lambda: os.nice(-5)),
):
    try:
        call()
    except OSError:
        continue
    raise SystemExit("got through: " + what)
if libc.syscall({"x86_64": 251}.get(os.uname().machine, 30), 1, 0, 1 << 13 | 0) == 0:
    raise SystemExit("got through: I/O priority")
