# property: verdict cannot be forged
# tests: add
# expect: early_exit
# teeth: passes
"""Leaves from a signal's handler."""

import os
import signal
import time

signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.02)


def add(a, b):
    time.sleep(1)
    return 0
