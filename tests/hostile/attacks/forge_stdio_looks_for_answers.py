# property: verdict cannot be forged
# tests: sum of two
# expect: wrong_answer
"""Prints every file and descriptor that could hold the expected output."""

import glob
import os

for path in [*glob.glob("*"), *glob.glob("../*"), *glob.glob("/tmp/*")]:
    if os.path.isfile(path):
        print(open(path).read())
for handle in (0, 3, 4, 5, 6, 7):
    try:
        os.set_blocking(handle, False)
        print(os.pread(handle, 1 << 16, 0))
    except OSError:
        pass
