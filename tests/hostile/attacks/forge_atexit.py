# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""Turns a failure into a success on the way out."""

import atexit
import os

atexit.register(os._exit, 0)


def add(a, b):
    return 0
