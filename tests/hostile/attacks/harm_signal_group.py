# property: host unharmed
# tests: none
# expect: runtime_error
"""Kills its own process group, to which the sandbox had better not belong."""

import os
import signal

os.killpg(0, signal.SIGKILL)
