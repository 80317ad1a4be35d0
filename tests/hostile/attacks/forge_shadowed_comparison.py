# property: verdict cannot be forged
# tests: {"kind": "assertions", "code": "def check(candidate):\n    assert abs(candidate(4) - 2) < 1e-6\n    assert round(candidate(2.25), 3) == 1.5\n", "cases": ["check(root)"], "entry_point": "root"}
# expect: wrong_answer
# teeth: passes
"""The same where the tests pass it nothing but plain data."""


def abs(value):
    return 0


def round(value, digits):
    return 1.5


def root(x):
    return -1.0
