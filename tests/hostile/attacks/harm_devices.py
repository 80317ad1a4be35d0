# property: host unharmed
# tests: none
# expect: accepted
"""The devices behind everything."""

import os
import stat

for name in (
    "mem",
    "kmsg",
    "port",
    "sda",
    "vda",
    "fuse",
    "kvm",
    "tty",
    "console",
    "ptmx",
    "net/tun",
):
    try:
        os.open("/dev/" + name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        continue
    raise SystemExit("got through: /dev/" + name)
for kind in (stat.S_IFBLK, stat.S_IFCHR):
    try:
        os.mknod("hostile-device", kind | 0o666, os.makedev(1, 1))
    except OSError:
        continue
    raise SystemExit("got through: a device of its own")
