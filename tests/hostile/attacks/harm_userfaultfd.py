# property: host unharmed
# tests: none
# expect: accepted
"""Page faults handled by the attacker: the start of many kernel exploits."""

import ctypes
import os

number = {"x86_64": 323}.get(os.uname().machine, 282)
for flags in (0, 1, os.O_CLOEXEC, os.O_CLOEXEC | os.O_NONBLOCK | 1):
    if ctypes.CDLL(None).syscall(number, flags) >= 0:
        raise SystemExit("got through: userfaultfd")
