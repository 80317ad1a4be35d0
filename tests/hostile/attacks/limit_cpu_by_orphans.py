# property: limits hold
# tests: none
# expect: time_limit
# limits: {"wall_s": 0.5}
"""The CPU time is burnt by short-lived daemons whose parents don't count it."""

import os
import time

while True:
    child = os.fork()
    if child == 0:
        try:
            if os.fork() == 0:
                for _ in range(300000):
                    pass
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.005)
