# property: nothing is left
# tests: none
# expect: accepted
"""A path that no system call takes whole, and deeper than a program may recurse."""

import os

for _ in range(3000):
    os.mkdir("hostile-directory")
    os.chdir("hostile-directory")
open("hostile-file", "w").close()
