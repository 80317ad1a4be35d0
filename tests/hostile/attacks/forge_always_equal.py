# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""An object that is equal to everything."""


class Anything:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    __hash__ = object.__hash__


def add(a, b):
    return Anything()
