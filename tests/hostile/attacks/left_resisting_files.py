# property: nothing is left
# tests: none
# expect: accepted
"""Directories that nobody may enter, and files that nobody may change."""

import fcntl
import os
import struct

os.makedirs("hostile-a/hostile-b/hostile-c")
for path in ("hostile-a/file", "hostile-a/hostile-b/file", "hostile-a/hostile-b/hostile-c/file"):
    with open(path, "w") as file:
        for flag in (0x10, 0x20):  # immutable, append only
            try:
                fcntl.ioctl(file, 0x40086602, struct.pack("l", flag))
            except OSError:
                pass
    for name in ("user.hostile", "trusted.hostile", "security.capability"):
        try:
            os.setxattr(path, name, b"1")
        except OSError:
            pass
    os.chmod(path, 0)
for path in ("hostile-a/hostile-b/hostile-c", "hostile-a/hostile-b", "hostile-a", ".", ".."):
    try:
        os.chmod(path, 0)
    except OSError:
        pass
