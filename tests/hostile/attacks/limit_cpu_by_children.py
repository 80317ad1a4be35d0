# property: limits hold
# tests: none
# expect: time_limit
# limits: {"wall_s": 5, "cpu_s": 0.5}
"""The CPU time is burnt by children, one after the other."""

import os

while True:
    child = os.fork()
    if child == 0:
        for _ in range(300000):
            pass
        os._exit(0)
    os.waitpid(child, 0)
