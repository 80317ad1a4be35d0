# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# not claimed: inline: what can't cross is judged in one process, where the object's equality is in force
# teeth: passes
"""A class, not an object, that is equal to everything."""


class Meta(type):
    def __eq__(cls, other):
        return True

    __hash__ = type.__hash__


class Anything(metaclass=Meta):
    pass


def add(a, b):
    return Anything
