# property: verdict cannot be forged
# tests: add
# expect: early_exit | runtime_error
"""Is killed, by itself."""

import os
import signal


def add(a, b):
    os.kill(os.getpid(), signal.SIGKILL)
