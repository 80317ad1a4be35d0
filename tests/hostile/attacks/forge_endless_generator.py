# property: limits hold
# tests: add
# expect: wrong_answer
"""Something that never ends, returned."""


def add(a, b):
    while True:
        yield a
