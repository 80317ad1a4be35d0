# property: nothing is left
# tests: printed
# expect: accepted
# probe: quick
"""Copies of every descriptor, kept by children that sleep."""

import os
import time

print("2 3 5 7 11 13", flush=True)
for handle in range(20):
    try:
        for _ in range(10):
            os.set_inheritable(os.dup(handle), True)
    except OSError:
        pass
for _ in range(5):
    if os.fork() == 0:
        time.sleep(1000)
