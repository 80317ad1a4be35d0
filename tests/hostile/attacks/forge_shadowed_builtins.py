# property: verdict cannot be forged
# tests: root
# expect: wrong_answer
# teeth: passes
"""Functions of its own by the names of those that the tests use."""


def abs(value):
    return 0


def isinstance(value, kind):
    return True


def all(values):
    return True


def root(x):
    return -1.0
