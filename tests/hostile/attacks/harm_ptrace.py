# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""Debugs a child of its own, its parent and the first process."""

import ctypes
import os
import time

libc = ctypes.CDLL(None)
ATTACH, SEIZE, TRACEME = 16, 0x4206, 0
child = os.fork()
if child == 0:
    time.sleep(100)
for victim in {1, os.getppid(), child} - {0}:
    if libc.ptrace(SEIZE, victim, 0, 0) == 0 or libc.ptrace(ATTACH, victim, 0, 0) == 0:
        raise SystemExit("got through: process %d is traced" % victim)
if libc.ptrace(TRACEME, 0, 0, 0) == 0:
    raise SystemExit("got through: traceme")
