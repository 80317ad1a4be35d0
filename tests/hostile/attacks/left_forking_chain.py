# property: nothing is left
# tests: none
# expect: accepted
"""A process that is always somewhere else: each one forks and ends at once."""

import os

if os.fork() == 0:
    os.setsid()
    while os.fork() == 0:
        pass
    os._exit(0)
