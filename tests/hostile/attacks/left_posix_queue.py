# property: nothing is left
# tests: none
# expect: accepted
# teeth: gets through
"""A message queue that outlives its maker."""

import ctypes
import os

number = {"x86_64": 240}.get(os.uname().machine, 180)
if ctypes.CDLL(None).syscall(number, b"hostile-queue", os.O_CREAT | os.O_RDWR, 0o666, None) >= 0:
    ctypes.CDLL(None).syscall(number + 1, b"hostile-queue")
    raise SystemExit("got through: a queue")
