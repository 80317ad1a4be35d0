# property: limits hold
# tests: none
# expect: accepted
"""Pipes that are filled and never read."""

import fcntl
import os

held = 0
try:
    while True:
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            fcntl.fcntl(write, 1031, 1 << 20)  # F_SETPIPE_SZ
        except OSError:
            pass
        try:
            while True:
                held += os.write(write, bytes(1 << 16))
        except BlockingIOError:
            pass
except OSError:
    pass
if held > 256 << 20:
    raise SystemExit("got through: %d MB in pipes" % (held >> 20))
