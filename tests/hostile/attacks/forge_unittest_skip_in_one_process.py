# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer | runtime_error
"""Asks for one process, and skips the test there."""

import unittest

calls = []


def add(a, b):
    if any(type(item).__name__ == "TestAdd" for item in map(type, calls)):
        return 0
    import sys

    frame = sys._getframe()
    while frame is not None:
        if "self" in frame.f_locals and type(frame.f_locals["self"]).__name__ == "TestAdd":
            raise unittest.SkipTest("not today")
        frame = frame.f_back
    return object()
