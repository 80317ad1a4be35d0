# property: nothing is left
# tests: none
# expect: accepted
"""Links out of the workspace, so that who cleans up deletes what they lead to."""

import os

for name, target in (
    ("hostile-up", "../.."),
    ("hostile-root", "/"),
    ("hostile-usr", "/usr"),
    ("hostile-self", "hostile-self"),
    ("hostile-file", "../../canary"),
):
    os.symlink(target, name)
    os.mkdir(name + ".d")
    os.symlink("../" + name, name + ".d/again")
for target in ("../../canary", "/usr/bin/python3", "/etc/passwd"):
    try:
        os.link(target, "hostile-hard-link")
    except OSError:
        continue
    raise SystemExit("got through: a hard link to " + target)
try:
    open("hostile-file", "w").write("dead")
except OSError:
    pass
else:
    raise SystemExit("got through: a file outside was written")
