# property: limits hold
# tests: none
# expect: time_limit | runtime_error
# limits: {"wall_s": 0.5}
"""Threads until there are no more, none of which ends."""

import threading
import time

while True:
    try:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    except RuntimeError:
        time.sleep(0.01)
