# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer
"""Takes the tests' name, so that whoever looks for new names finds none."""

TestAdd = None


def add(a, b):
    return -1
