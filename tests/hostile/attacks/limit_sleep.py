# property: limits hold
# tests: add
# expect: time_limit
# limits: {"wall_s": 0.4}
"""Does nothing, for ever."""

import time


def add(a, b):
    time.sleep(1000)
