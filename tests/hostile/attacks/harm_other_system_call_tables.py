# property: host unharmed
# tests: none
# expect: accepted | runtime_error
"""The same calls by their numbers for x32."""

import ctypes

libc = ctypes.CDLL(None)
X32 = 0x40000000
for number in (101, 165, 272, 321, 425, 521):
    # An engine's own filter may kill for it, which is as good.
    zero = ctypes.c_long(0)
    if libc.syscall(X32 + number, zero, zero, zero, zero, zero) >= 0:
        raise SystemExit("got through: x32 call %d" % number)
