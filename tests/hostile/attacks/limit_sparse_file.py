# property: limits hold
# tests: none
# expect: accepted
"""A file of a terabyte that is all hole."""

import os

made = os.open("hostile-file", os.O_CREAT | os.O_RDWR)
for call in (os.ftruncate, lambda f, size: os.posix_fallocate(f, 0, size)):
    try:
        call(made, 1 << 40)
    except OSError:
        continue
    raise SystemExit("got through: a file of a terabyte")
