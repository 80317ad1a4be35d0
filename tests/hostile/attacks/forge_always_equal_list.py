# property: verdict cannot be forged
# tests: sort
# expect: wrong_answer
"""A list that lies about its length, its items and its equality."""


class Anything(list):
    def __eq__(self, other):
        return True

    def __len__(self):
        return 3

    def __iter__(self):
        return iter([Item(), Item(), Item()])


class Item:
    def __eq__(self, other):
        return True


def sort(values):
    return Anything()
