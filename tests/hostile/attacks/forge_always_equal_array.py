# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""What numerical libraries return: a comparison that is an array, which is true."""


class Array:
    def __init__(self, value):
        self.value = value
        self.dtype, self.shape = "int64", ()

    def __array__(self, *_):
        return self

    def __eq__(self, other):
        return Array(True)

    def __bool__(self):
        return True

    def all(self):
        return True

    def item(self):
        return self


def add(a, b):
    return Array(a)
