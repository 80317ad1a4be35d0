# property: nothing is left
# tests: printed
# expect: accepted
# probe: quick
"""The right output, and a child that keeps the pipes open."""

import os
import time

print("2 3 5 7 11 13", flush=True)
if os.fork() == 0:
    time.sleep(1000)
