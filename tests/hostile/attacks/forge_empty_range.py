# property: verdict cannot be forged
# tests: {"kind": "assertions", "code": "def check(candidate):\n    for n in range(10):\n        assert candidate(n) == n * n\n", "cases": ["check(square)"], "entry_point": "square"}
# expect: wrong_answer
# teeth: passes
"""Loops that never begin."""


def range(*_):
    return []


def square(n):
    return -1
