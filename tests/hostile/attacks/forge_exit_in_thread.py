# property: verdict cannot be forged
# tests: add
# expect: early_exit
# teeth: passes
"""Leaves from another thread while the tests run."""

import os
import threading
import time


def leave():
    time.sleep(0.02)
    os._exit(0)


threading.Thread(target=leave).start()


def add(a, b):
    time.sleep(1)
    return 0
