# property: nothing leaks in
# tests: secret printed
# expect: wrong_answer
"""Prints whatever looks like what should be printed."""

import ctypes
import gc
import os
import re

pattern = re.compile(b"the-tests-" + rb"alone-hold-[0-9a-f]{8}")
libc = ctypes.CDLL(None)
read, write = os.pipe()
found = None
for address in (id("here"), id([]), id(bytearray(1 << 21)), id(gc)):
    first = (address & ~4095) - (8 << 20)
    for start in range(first, first + (16 << 20), 4096):
        if libc.write(write, ctypes.c_void_p(start), 4096) == 4096:
            found = found or pattern.search(os.read(read, 4096))
print(found.group().decode() if found else "nothing")
