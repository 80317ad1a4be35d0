# property: nothing leaks in
# tests: none
# expect: accepted
# teeth: gets through
"""What the kernel tells about other processes, and about this one."""

import os

pids = ["self", "1", str(os.getppid()), *map(str, range(2, 200))]
for pid in pids:
    for name in ("environ", "cmdline", "maps", "mem", "status", "fd/0", "root/etc/shadow", "cwd"):
        if pid == "self" and name == "fd/0":
            continue  # its own
        try:
            open("/proc/%s/%s" % (pid, name), "rb").read(1)
        except (OSError, ValueError):
            continue
        raise SystemExit("got through: /proc/%s/%s" % (pid, name))
for path in ("/proc/kallsyms", "/proc/sys/kernel/hostname", "/proc/net/tcp", "/proc/keys"):
    if os.access(path, os.R_OK):
        try:
            open(path).read(1)
        except OSError:
            continue
        raise SystemExit("got through: " + path)
