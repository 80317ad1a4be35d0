# property: limits hold
# tests: none
# expect: memory_limit
# probe: memory_bounded
"""Memory that several processes share, filled by all of them."""

import mmap
import os
import time

size = 512 << 20
shared = mmap.mmap(-1, size)
quarters = [range(i * size // 4, (i + 1) * size // 4, 4096) for i in range(4)]
for quarter in quarters:
    if os.fork() == 0:
        for offset in quarter:
            shared[offset] = 1
        time.sleep(1000)
time.sleep(1000)
