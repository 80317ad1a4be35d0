# property: nothing is left
# tests: none
# expect: accepted
# probe: quick
"""Thirty daemons, each stopped, each in a session of its own."""

import os
import signal

for _ in range(30):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
