# property: limits hold
# tests: none
# expect: accepted | memory_limit
# limits: {"file_bytes": 16777216}
# probe: memory_bounded
"""Files in /dev/shm are memory."""

import os

written = 0
for number in range(100):
    try:
        with open("/dev/shm/hostile-%d" % number, "wb") as file:
            for _ in range(4):
                written += file.write(bytes(1 << 20))
                file.flush()
    except OSError:
        break
if written > 17 << 20:
    raise SystemExit("got through: %d MB in /dev/shm" % (written >> 20))
