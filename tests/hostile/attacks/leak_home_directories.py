# property: nothing leaks in
# tests: none
# expect: accepted
"""Everybody's files."""

import os
import sys

for path in ("/root", "/home", "/var/lib", "/var/log", "/opt", "/srv", "/mnt", "/media", "/run",
             "/boot", "/root/.ssh", "/var/spool", "/sys", "/usr/local", "/usr/share/doc"):  # fmt: skip
    try:
        found = os.listdir(path)
    except OSError:
        continue
    # The ways to the interpreter and to the agent are there, and nothing beside them.
    ways = (sys.prefix + "/", sys.modules["__main__"].__file__)
    if any(not any(way.startswith(os.path.join(path, name)) for way in ways) for name in found):
        raise SystemExit("got through: %s: %s" % (path, found[:5]))
