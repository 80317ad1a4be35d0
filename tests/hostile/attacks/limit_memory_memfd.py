# property: limits hold
# tests: none
# expect: accepted | memory_limit
# probe: memory_bounded
"""A file in memory belongs to no process and no file system."""

import os

try:
    memory = os.memfd_create("hostile-memory")
    for _ in range(300):
        os.write(memory, bytes(1 << 20))
except OSError:
    pass
else:
    raise SystemExit("got through: 300 MB in a memory file")
