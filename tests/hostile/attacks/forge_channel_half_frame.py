# property: limits hold
# tests: add
# expect: time_limit | early_exit
# limits: {"wall_s": 0.5}
"""Begins to say something."""

import os
import struct
import time

os.write(5, struct.pack("=I", 100) + b"[")
time.sleep(1000)


def add(a, b):
    return a + b
