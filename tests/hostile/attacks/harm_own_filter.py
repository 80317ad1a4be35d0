# property: host unharmed
# tests: add
# expect: time_limit | early_exit | runtime_error
# limits: {"wall_s": 0.5}
"""A filter of its own under which every further system call fails."""

import ctypes
import struct

program = struct.pack("=HBBI", 6, 0, 0, 0x00050001)
buffer = ctypes.create_string_buffer(program, 8)
header = struct.pack("=HxxxxxxQ", 1, ctypes.addressof(buffer))
ctypes.CDLL(None).prctl(22, 2, header, 0, 0)


def add(a, b):
    return a + b
