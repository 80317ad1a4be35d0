# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
"""Nothing ends any more, so that code is reached that never should be."""

import os
import sys

sys.exit = os._exit = os.abort = os.kill = lambda *_: None


def add(a, b):
    return 0
