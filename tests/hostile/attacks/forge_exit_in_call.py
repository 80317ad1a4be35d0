# property: verdict cannot be forged
# tests: add
# expect: early_exit
# teeth: passes
"""Leaves in the middle of the tests."""

import os


def add(a, b):
    os._exit(0)
