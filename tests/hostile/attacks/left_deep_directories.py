# property: nothing is left
# tests: none
# expect: accepted
# limits: {"wall_s": 10}
"""A path that no system call takes whole, and deeper than a program may recurse."""

import os

for _ in range(1500):
    os.mkdir("hostile-directory")
    os.chdir("hostile-directory")
open("hostile-file", "w").close()
