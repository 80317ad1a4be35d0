# property: verdict cannot be forged
# tests: sort
# expect: wrong_answer
"""A list of the right length, of objects that are equal to everything."""


class Anything:
    def __eq__(self, other):
        return True

    def __lt__(self, other):
        return True


def sort(values):
    return [Anything() for _ in values]
