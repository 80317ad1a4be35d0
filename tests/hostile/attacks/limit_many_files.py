# property: limits hold
# tests: none
# expect: accepted
# not claimed: filtered, limits: without a mount namespace the number of files is not limited
"""More files than a small file system has names for."""

import os

made = 0
try:
    for made in range(20000):
        os.close(os.open("hostile-%d" % made, os.O_CREAT | os.O_WRONLY))
except OSError:
    pass
if made > 19000:
    raise SystemExit("got through: %d files" % made)
