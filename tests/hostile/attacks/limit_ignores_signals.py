# property: limits hold
# tests: none
# expect: time_limit
# limits: {"wall_s": 0.4}
"""Ignores whatever can be ignored."""

import signal
import time

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(1)
