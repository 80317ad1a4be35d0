# property: nothing leaks in
# tests: none
# expect: accepted
"""Everybody's files."""

import os
import sys

for path in (
    "/root",
    "/home",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/opt",
    "/srv",
    "/mnt",
    "/media",
    "/run",
    "/boot",
    "/sys",
    "/usr/local",
    "/usr/share/doc",
):
    for place, _, files in os.walk(path):
        # The interpreter and the agent may lie there, and nothing beside them.
        if files and not (place + "/").startswith(sys.prefix + "/") and files != ["agent.py"]:
            raise SystemExit("got through: %s: %s" % (place, files[:5]))
