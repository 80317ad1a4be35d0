# property: nothing leaks in
# tests: none
# expect: accepted
"""Other workspaces, and files that tell of other executions."""

import os
import sys

for place in ("..", "../..", "/box", "/sandbox", "/tmp", "/dev/shm", "/var/tmp"):
    if os.path.realpath(place) == "/":
        continue
    for top, _, files in os.walk(place):
        # The interpreter and the agent may lie there, and nothing beside them.
        if files and not (top + "/").startswith(sys.prefix + "/") and files != ["agent.py"]:
            raise SystemExit("got through: %s: %s" % (top, files[:5]))
