# property: host unharmed
# tests: none
# expect: accepted
"""Every signal to every process that can be named at once."""

import os
import signal

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP, signal.SIGKILL):
    if number not in (signal.SIGSTOP, signal.SIGKILL):
        signal.signal(number, signal.SIG_IGN)
    try:
        os.kill(-1, number)
    except OSError:
        pass
