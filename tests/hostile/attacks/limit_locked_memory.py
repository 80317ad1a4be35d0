# property: limits hold
# tests: none
# expect: accepted
"""Memory that may never be paged out."""

import ctypes

libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(1 << 20)
if libc.mlock(buffer, len(buffer)) == 0:
    raise SystemExit("got through: a locked megabyte")
if libc.mlockall(1 | 2) == 0:
    raise SystemExit("got through: everything locked")
