# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
"""An object that would run something where it is unpickled or copied."""

import os


class Anything:
    def __reduce__(self):
        return os._exit, (0,)

    __reduce_ex__ = lambda self, protocol: self.__reduce__()
    __getstate__ = __reduce__
    __copy__ = __deepcopy__ = lambda self, *_: os._exit(0)


def add(a, b):
    return Anything()
