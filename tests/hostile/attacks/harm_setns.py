# property: host unharmed
# tests: none
# expect: accepted
"""Somebody else's namespaces, by descriptor or by process."""

import ctypes
import os

libc = ctypes.CDLL(None)
for handle in range(256):
    if libc.setns(handle, 0) == 0:
        raise SystemExit("got through: descriptor %d is a namespace" % handle)
for path in ("/proc/1/ns/mnt", "/proc/%d/ns/user" % os.getppid(), "/proc/1/root/etc/shadow"):
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    raise SystemExit("got through: %s" % path)
for pid in {1, os.getppid()} - {0}:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        continue
    if libc.setns(handle, 0x20000) == 0:
        raise SystemExit("got through: the namespaces of %d" % pid)
