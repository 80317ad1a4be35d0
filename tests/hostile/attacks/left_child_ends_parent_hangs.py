# property: limits hold
# tests: add
# expect: time_limit
# limits: {"wall_s": 0.4}
"""A child ends well while its parent never answers."""

import os
import time


def add(a, b):
    if os.fork() == 0:
        os._exit(0)
    while True:
        time.sleep(1)
