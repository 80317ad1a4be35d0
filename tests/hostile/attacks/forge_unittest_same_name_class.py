# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer
"""The same with a test of its own that always passes."""

import unittest


class TestAdd(unittest.TestCase):
    def test_small(self):
        pass


def add(a, b):
    return -1
