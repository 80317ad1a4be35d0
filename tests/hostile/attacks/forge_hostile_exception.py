# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error | early_exit
"""An exception that ends the program when it is printed, and lies about what it is."""

import os


class Hostile(AssertionError):
    __class__ = property(lambda self: StopIteration)
    args = property(lambda self: os._exit(0))

    def __str__(self):
        os._exit(0)

    __repr__ = __format__ = __reduce__ = __str__


def add(a, b):
    raise Hostile
