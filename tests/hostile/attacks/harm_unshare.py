# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""Namespaces of its own, in which it would be root."""

import ctypes

libc = ctypes.CDLL(None)
for flag in (0x10000000, 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000, 0x2000000, 0x80):
    if libc.unshare(flag) == 0 or libc.unshare(0x10000000 | flag) == 0:
        raise SystemExit("got through: unshare %#x" % flag)
