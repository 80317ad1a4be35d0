# property: host unharmed
# tests: none
# expect: runtime_error
"""The same calls by the 32-bit gate, in machine code."""

import ctypes
import mmap
import os

if os.uname().machine != "x86_64":
    raise RuntimeError("there is no such gate")
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid by int 0x80
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
ctypes.CFUNCTYPE(ctypes.c_int)(address)()
