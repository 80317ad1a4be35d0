# property: verdict cannot be forged
# tests: add
# expect: runtime_error | early_exit | wrong_answer
"""Speaks to the judge before it is asked, in no language."""

import os

os.write(5, b"\xff" * 10000)


def add(a, b):
    return a + b + 1
