# property: verdict cannot be forged
# tests: add unittest
# expect: early_exit | runtime_error
"""Leaves as if somebody had pressed Ctrl-C."""


def add(a, b):
    raise KeyboardInterrupt
