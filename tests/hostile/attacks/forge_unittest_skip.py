# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer | runtime_error
# teeth: passes
"""Skips the test that calls it."""

import unittest


def add(a, b):
    raise unittest.SkipTest("not today")
