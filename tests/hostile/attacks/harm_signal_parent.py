# property: host unharmed
# tests: none
# expect: accepted
# not claimed: limits: there a candidate may signal every process of the same user
"""Kills its parent and the first process."""

import os
import signal

for victim in {1, os.getppid()} - {0}:
    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(victim, number)
        except OSError:
            pass
