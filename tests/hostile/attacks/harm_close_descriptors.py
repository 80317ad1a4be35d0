# property: verdict cannot be forged
# tests: add
# expect: early_exit
"""Closes whatever is open, so that nobody is told how it ended."""

import os

os.closerange(0, 1024)


def add(a, b):
    return a + b
