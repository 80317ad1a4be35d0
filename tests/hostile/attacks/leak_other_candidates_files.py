# property: nothing leaks in
# tests: none
# expect: accepted
"""Other workspaces, and files that tell of other executions."""

import os

for place in ("..", "../..", "/box", "/tmp", "/dev/shm", os.environ.get("TMPDIR", "/tmp")):
    try:
        found = os.listdir(place)
    except OSError:
        continue
    if os.path.realpath(place) == "/":
        continue
    if set(found) - {"box", "work", "tmp", "shm", "stdin"}:
        raise SystemExit("got through: %s: %s" % (place, found[:5]))
