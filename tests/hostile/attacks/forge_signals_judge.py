# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | early_exit | time_limit
# limits: {"wall_s": 1}
# not claimed: limits: there a candidate may signal every process of the same user
"""Every signal to the process that runs the tests."""

import os
import signal

pids = {1, os.getppid(), os.getpid() - 1} - {0, os.getpid()}
for number in sorted(signal.valid_signals()):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def add(a, b):
    return 0
