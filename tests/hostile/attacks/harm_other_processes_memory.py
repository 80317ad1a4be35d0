# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""Reads and writes the memory of its parent, the first process and a child."""

import ctypes
import os
import time

libc = ctypes.CDLL(None)


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


mine = ctypes.create_string_buffer(b"hostile", 8)
local = Vector(ctypes.addressof(mine), 8)
remote = Vector(ctypes.addressof(mine), 8)
child = os.fork()
if child == 0:
    time.sleep(100)
for victim in {1, os.getppid(), child} - {0}:
    for call in (libc.process_vm_readv, libc.process_vm_writev):
        if call(victim, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0:
            raise SystemExit("got through: memory of %d" % victim)
