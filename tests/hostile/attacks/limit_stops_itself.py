# property: limits hold
# tests: add
# expect: time_limit
# limits: {"wall_s": 0.4}
"""Stops itself, so that nobody is there to see the end."""

import os
import signal


def add(a, b):
    os.kill(os.getpid(), signal.SIGSTOP)
    return a + b
