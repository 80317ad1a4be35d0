# property: nothing leaks in
# tests: none
# expect: accepted
# before: plant_everywhere
"""Looks for what plant_everywhere has left in the same slot."""

import gc
import glob
import os
import sys

if "HOSTILE_PLANTED" in os.environ:
    raise SystemExit("got through: the environment")
if os.umask(0o22) == 0:
    raise SystemExit("got through: the umask")
for pattern in ("/*", "/*/*", "/box/*/*", "*", "../*", "../*/*", ".*", "../.*", "../../*"):
    for path in glob.glob(pattern):
        if "hostile-planted" in path or os.path.basename(path) in ("sitecustomize.py",):
            raise SystemExit("got through: " + path)
if getattr(sys.modules["math"], "planted", None):
    raise SystemExit("got through: a module")
me = os.getpid()
for pid in range(2, 400):
    try:
        os.kill(pid, 0)
    except OSError:
        continue
    if pid != me:
        raise SystemExit("got through: process %d" % pid)
for item in gc.get_objects():
    if type(item) is list and len(item) == 1000 and str(item[0]).startswith("HOSTILE-" + "PLANTED"):
        raise SystemExit("got through: memory")
