# property: limits hold
# tests: none
# expect: time_limit
# limits: {"wall_s": 0.4}
"""Ends, and then doesn't."""

import atexit
import time

atexit.register(time.sleep, 1000)
