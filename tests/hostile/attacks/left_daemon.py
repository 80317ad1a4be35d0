# property: nothing is left
# tests: add
# expect: accepted
# probe: quick
"""A right answer, and a daemon in a session of its own that ignores signals."""

import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.closerange(0, 256)
        while True:
            time.sleep(0.01)
    os._exit(0)


def add(a, b):
    return a + b
