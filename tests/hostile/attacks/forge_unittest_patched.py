# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer
# teeth: passes
"""Assertions that don't assert."""

import unittest
import unittest.case

for name in dir(unittest.TestCase):
    if name.startswith(("assert", "fail")):
        setattr(unittest.TestCase, name, lambda *_, **__: None)
unittest.TestCase.run = lambda self, result=None: result
unittest.TestResult.addFailure = unittest.TestResult.addError = lambda *_: None
unittest.TestResult.wasSuccessful = lambda self: True


def add(a, b):
    return -1
