# property: nothing leaks in
# tests: none
# expect: accepted
# before: plant_everywhere
"""Searches its memory for the code of the candidate before."""

import ctypes
import gc
import os
import re

pattern = re.compile(b"HOSTILE-PLANTED-IN-MEMOR[Y]")
libc = ctypes.CDLL(None)
read, write = os.pipe()
for address in (id("here"), id([]), id(bytearray(1 << 21)), id(gc), id(object())):
    first = (address & ~4095) - (8 << 20)
    for start in range(first, first + (16 << 20), 4096):
        if libc.write(write, ctypes.c_void_p(start), 4096) == 4096:
            if pattern.search(os.read(read, 4096)):
                raise SystemExit("got through: memory of another candidate")
