# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""The same by clone and clone3."""

import ctypes
import os

libc = ctypes.CDLL(None)
clone = {"x86_64": 56}.get(os.uname().machine, 220)
SIGCHLD, NEWUSER, NEWNS = 17, 0x10000000, 0x20000
for flags in (NEWUSER, NEWUSER | NEWNS, NEWNS):
    pid = libc.syscall(clone, flags | SIGCHLD, None, None, None, None)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        raise SystemExit("got through: clone %#x" % flags)
arguments = (ctypes.c_uint64 * 8)(NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0)
pid = libc.syscall(435, arguments, ctypes.sizeof(arguments))
if pid == 0:
    os._exit(0)
if pid > 0:
    raise SystemExit("got through: clone3")
