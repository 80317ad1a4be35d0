# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""An object that says that it is a number."""


class Anything:
    __class__ = property(lambda self: int)

    def __eq__(self, other):
        return True

    def __int__(self):
        return 5

    __index__ = __int__


def add(a, b):
    return Anything()
