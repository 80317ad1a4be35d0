# property: host unharmed
# tests: none
# expect: accepted
# teeth: gets through
"""Tries every number that a process might have."""

import os

for victim in [*range(2, 40000)]:
    if victim in (os.getpid(), os.getpgrp()):
        continue
    try:
        os.kill(victim, 0)
    except OSError:
        continue
    if os.getsid(victim) == os.getsid(0):
        continue
    raise SystemExit("got through: process %d can be signalled" % victim)
