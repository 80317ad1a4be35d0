# property: verdict cannot be forged
# tests: none
# expect: runtime_error
"""Ends by a signal, which is not an end without an error."""

import os
import signal
import time

os.kill(os.getpid(), signal.SIGTERM)
time.sleep(1)
