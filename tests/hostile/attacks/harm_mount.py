# property: host unharmed
# tests: none
# expect: accepted
"""Mounts, and everything that leads to one."""

import ctypes
import os

libc = ctypes.CDLL(None)
os.mkdir("hostile-mount")
for kind, flags in ((b"tmpfs", 0), (b"proc", 0), (b"sysfs", 0), (b"none", 4096), (b"", 1 << 18)):
    if libc.mount(b"/", b"hostile-mount", kind, flags, None) == 0:
        raise SystemExit("got through: mount of %r" % kind)
for target in (b"/", b"/box", b"/usr/bin", b"/dev/null"):
    if libc.umount2(target, 2) == 0:
        raise SystemExit("got through: umount of %r" % target)
if libc.chroot(b"hostile-mount") == 0 or libc.syscall(155, b".", b".") == 0:
    raise SystemExit("got through: another root")
for name, number, arguments in (
    ("open_tree", 428, (-100, b"/", 1)),
    ("move_mount", 429, (-100, b"/usr", -100, b"hostile-mount", 0)),
    ("fsopen", 430, (b"tmpfs", 0)),
    ("fspick", 433, (-100, b"/", 0)),
    ("mount_setattr", 442, (-100, b"/", 0, None, 0)),
):
    if libc.syscall(number, *arguments) >= 0:
        raise SystemExit("got through: " + name)
