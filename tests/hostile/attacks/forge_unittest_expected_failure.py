# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer | runtime_error
"""Raises what the framework itself uses to end a test."""

import unittest.case


def add(a, b):
    raise getattr(unittest.case, "_ShouldStop", Exception)()
