# property: limits hold
# tests: none
# expect: memory_limit
# probe: memory_bounded
"""Each process stays below the limit, all of them together do not."""

import os
import time

for _ in range(16):
    if os.fork() == 0:
        hog = bytearray(b"x") * (40 << 20)
        time.sleep(1000)
time.sleep(1000)
