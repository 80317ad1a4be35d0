# property: verdict cannot be forged
# tests: add calls
# expect: early_exit
"""Leaves in the middle of the tests, politely."""


def add(a, b):
    raise SystemExit(0)
