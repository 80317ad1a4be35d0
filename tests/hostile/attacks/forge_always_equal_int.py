# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""A number that is equal to every number."""


class Anything(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


def add(a, b):
    return Anything(7)
