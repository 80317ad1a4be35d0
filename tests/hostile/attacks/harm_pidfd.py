# property: host unharmed
# tests: none
# expect: accepted
"""Handles of other processes, and through these their descriptors."""

import os

for victim in [1, os.getppid(), *range(2, 3000)]:
    if victim in (0, os.getpid()):
        continue
    try:
        handle = os.pidfd_open(victim)
    except OSError:
        continue
    import ctypes

    libc = ctypes.CDLL(None)
    for number in range(10):
        if libc.syscall(438, handle, number, 0) >= 0:
            raise SystemExit("got through: descriptor %d of process %d" % (number, victim))
    os.close(handle)
