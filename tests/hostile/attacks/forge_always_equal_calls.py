# property: verdict cannot be forged
# tests: add calls
# expect: wrong_answer
"""The same against values."""


class Anything:
    def __eq__(self, other):
        return True


def add(a, b):
    return Anything()
