# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""System calls that no filter sees."""

import ctypes

parameters = ctypes.create_string_buffer(120)
if ctypes.CDLL(None).syscall(425, 8, parameters) >= 0:
    raise SystemExit("got through: io_uring")
