# property: limits hold
# tests: none
# expect: accepted
# teeth: gets through
"""All descriptors that there are."""

import os

held = []
try:
    while len(held) < 300:
        held.append(os.dup(1))
except OSError:
    pass
else:
    raise SystemExit("got through: 300 descriptors")
