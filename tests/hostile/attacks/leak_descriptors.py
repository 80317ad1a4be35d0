# property: nothing leaks in
# tests: none
# expect: accepted
"""Descriptors that were left open."""

import os
import stat

for handle in range(3, 1024):
    try:
        found = os.fstat(handle)
    except OSError:
        continue
    os.set_blocking(handle, False)
    try:
        data = os.read(handle, 100)
    except OSError:
        data = b""
    if data or stat.S_ISDIR(found.st_mode) or stat.S_ISSOCK(found.st_mode):
        raise SystemExit("got through: descriptor %d" % handle)
